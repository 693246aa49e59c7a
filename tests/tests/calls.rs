//! Single calls on the files of a mounted card, as `docs/SEMANTICS.md` has them.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use smcard_tests::raw::python;
use smcard_tests::{Mounted, Setup, batch};

/// Runs each expression in the mount's folder and compares its value, or the name of its errno, with what is expected.
/// `batch` is a whole batch as bytes, `issue/a` one that is there.
#[track_caller]
fn calls(card: &Mounted, rows: &[(&str, &str)]) {
    let file = card.file("bytes", batch::ndef());
    let mut program = format!(
        "
import ctypes, mmap
batch = open('{}', 'rb').read()
W, R, RW, C, T, X, A = (os.O_WRONLY, os.O_RDONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_EXCL, os.O_APPEND)
def new(name, flags=W | C, data=b''):
    fd = os.open(name, flags)
    if data: os.write(fd, data)
    return fd
def close(fd): os.close(fd); return 'closed'
def size(name): return os.stat(name).st_size
def renameat2(old, new, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags): raise OSError(ctypes.get_errno(), '')
    return 'renamed'
def show(call):
    try: print(call())
    except OSError as error: print(errno.errorcode[error.errno])
",
        file.display()
    );
    for (call, _) in rows {
        writeln!(program, "show(lambda: ({call}))").unwrap();
    }
    let said = python(&card.mountpoint(), &program);
    let wrong: Vec<String> = rows
        .iter()
        .zip(&said)
        .filter(|((_, expected), said)| expected != said)
        .map(|((call, expected), said)| format!("{call}: {said}, not {expected}"))
        .collect();
    assert!(said.len() == rows.len() && wrong.is_empty(), "{wrong:#?}\n{}", card.log());
}

/// A card with the batch `issue/a`.
fn card() -> Mounted {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "a");
    card
}

#[test]
fn opening() {
    calls(
        &card(),
        &[
            ("close(os.open('issue/a', R))", "closed"),
            ("close(os.open('issue/a', W))", "closed"),
            ("close(os.open('issue/a', W | T))", "closed"),
            ("size('issue/a') == len(batch)", "True"),
            ("os.open('issue/a', W | C | X)", "EEXIST"),
            ("close(new('issue/empty'))", "closed"),
            ("os.open('issue/empty', W | C | X)", "EEXIST"),
            ("os.open('issue/none', W)", "ENOENT"),
            ("os.open('issue/none', R)", "ENOENT"),
            ("os.open('issue', W)", "EISDIR"),
            ("os.open('issue/a/b', R)", "ENOTDIR"),
            ("os.open('issue/' + 256 * 'n', W | C)", "ENAMETOOLONG"),
            ("close(os.open('issue/' + 255 * 'n', W | C))", "closed"),
            ("os.open('new', W | C)", "EPERM"),
            ("os.open('card/new', W | C)", "EPERM"),
            ("os.open('status', W)", "EPERM"),
            ("os.open('card/cid', RW)", "EPERM"),
            ("close(os.open('control', R))", "closed"),
            ("close(os.open('control', RW))", "closed"),
            ("os.open('issue', os.O_TMPFILE | RW)", "EOPNOTSUPP"),
        ],
    );
}

#[test]
fn reading() {
    calls(
        &card(),
        &[
            ("os.read(os.open('issue/a', R), 10)", "EACCES"),
            ("os.pread(os.open('issue/a', R), 10, 1000000)", "EACCES"),
            ("os.read(new('issue/b', RW | C, batch), 10)", "EACCES"),
            ("os.read(os.open('issue/a', W), 10)", "EBADF"),
            ("mmap.mmap(os.open('issue/a', R), 10, prot=mmap.PROT_READ)", "ENODEV"),
            ("os.read(os.open('status', R), 100)", "b'authenticated\\n'"),
            ("os.pread(os.open('status', R), 4, 2)", "b'then'"),
            ("os.pread(os.open('status', R), 4, 1000)", "b''"),
            (
                "(lambda fd: (os.pread(fd, 99, 0), os.pread(fd, 99, 0)))(os.open('card/recovery', R))",
                "(b'function\\n', b'function\\n')",
            ),
            ("os.read(os.open('control', R), 100)", "b''"),
            ("sorted(os.listdir('.'))", "['apps', 'card', 'control', 'issue', 'status', 'trace']"),
            ("os.listdir('apps/none')", "ENOENT"),
            ("os.listdir('status')", "ENOTDIR"),
        ],
    );
}

#[test]
fn writing() {
    calls(
        &card(),
        &[
            ("os.pwrite(new('issue/b'), batch[10:], 10)", "ESPIPE"),
            (
                "(lambda fd: (os.write(fd, batch[:30]), size('issue/c'), os.write(fd, batch[30:]) == len(batch) - 30))(new('issue/c'))",
                "(30, 30, True)",
            ),
            ("(lambda fd: (os.pwrite(fd, batch[:30], 0), os.pwrite(fd, batch[:30], 0)))(new('issue/d'))", "ESPIPE"),
            ("os.write(new('issue/e', data=batch), b'')", "0"),
            ("os.write(new('issue/f', data=batch), b'x')", "EBADMSG"),
            ("os.write(new('issue/g', W | C | A, data=batch[:9]), batch[9:]) == len(batch) - 9", "True"),
            ("os.write(os.open('issue/a', W | A), b'x')", "ESPIPE"),
            ("(lambda fd: os.lseek(fd, 5, 0) and os.write(fd, batch))(new('issue/h'))", "ESPIPE"),
            ("(lambda fd: (fd, os.fsync(fd), os.fdatasync(fd))[1:])(new('issue/i', data=batch))", "(None, None)"),
            ("os.write(os.open('issue/a', R), b'x')", "EBADF"),
            // A second writer of a file that is being received.
            ("(lambda fd: os.write(os.open('issue/j', W), batch[:9]))(new('issue/j', data=batch[:9]))", "EBUSY"),
        ],
    );
}

#[test]
fn a_failed_file_says_so_again_and_again() {
    let card = card();
    let file = card.file("bytes", batch::ndef()).display().to_string();
    let said = python(
        &card.mountpoint(),
        &format!(
            "batch = open('{file}', 'rb').read()
fd = os.open('issue/bad', os.O_WRONLY | os.O_CREAT)
for data in b'not a batch', batch, b'x', batch[:1]:
    try: print(os.write(fd, data))
    except OSError as error: print(errno.errorcode[error.errno])
try: os.close(fd)
except OSError as error: print(errno.errorcode[error.errno])"
        ),
    );
    assert_eq!(said, ["EBADMSG"; 5]);
    assert_eq!(card.names("issue"), ["a"]);
}

#[test]
fn sizes_and_attributes() {
    calls(
        &card(),
        &[
            ("os.truncate('issue/a', 100)", "EINVAL"),
            ("os.truncate('issue/a', len(batch) + 1)", "EINVAL"),
            ("os.truncate('issue/a', len(batch))", "None"),
            ("os.truncate('issue/a', 0)", "None"),
            ("size('issue/a') == len(batch)", "True"),
            ("os.truncate('status', 0)", "EPERM"),
            ("os.ftruncate(new('issue/b'), 100)", "EINVAL"),
            // The C library writes instead where the file system cannot, and begins at the end.
            ("os.posix_fallocate(new('issue/b'), 0, 100)", "ESPIPE"),
            ("os.chmod('issue/a', 0o777)", "None"),
            ("os.chown('issue/a', 1, 1)", "None"),
            ("os.utime('issue/a', (1, 1))", "None"),
            (
                "oct(os.stat('issue/a').st_mode), os.stat('issue/a').st_uid, os.stat('issue/a').st_mtime > 1e9",
                "('0o100220', 0, True)",
            ),
            ("os.chmod('status', 0o777)", "EPERM"),
            ("os.chmod('issue', 0o777)", "EPERM"),
            ("os.utime('control')", "EPERM"),
            ("os.stat('issue/a').st_blksize, os.stat('issue/a').st_nlink", "(1048576, 1)"),
            ("os.setxattr('issue/a', 'user.x', b'y')", "EOPNOTSUPP"),
            ("os.getxattr('issue/a', 'user.x')", "EOPNOTSUPP"),
            ("os.listxattr('issue/a')", "EOPNOTSUPP"),
            (
                "(fcntl.flock(new('issue/l'), fcntl.LOCK_EX), fcntl.lockf(new('issue/m'), fcntl.LOCK_EX))",
                "(None, None)",
            ),
            ("os.statvfs('.').f_files", "65536"),
            ("os.statvfs('issue').f_namemax, os.statvfs('issue').f_frsize", "(255, 4096)"),
        ],
    );
}

#[test]
fn names() {
    calls(
        &card(),
        &[
            ("close(new('issue/b', data=batch))", "closed"),
            ("renameat2('issue/a', 'issue/b', 1)", "EEXIST"),
            ("renameat2('issue/a', 'issue/b', 2)", "EINVAL"),
            ("renameat2('issue/a', 'issue/c', 1)", "renamed"),
            ("os.rename('issue/c', 'issue/c')", "None"),
            ("os.rename('issue/c', 'issue/b')", "None"),
            ("os.listdir('issue')", "['b']"),
            ("os.rename('issue/c', 'issue/d')", "ENOENT"),
            ("os.rename('issue/b', 'b')", "EPERM"),
            ("os.rename('issue/b', 'card/b')", "EPERM"),
            ("os.rename('issue/b', '../b')", "EXDEV"),
            ("os.rename('issue', 'tissue')", "EPERM"),
            ("os.rename('issue/b', 'issue/' + 256 * 'n')", "ENAMETOOLONG"),
            ("close(new('issue/e'))", "closed"),
            ("os.rename('issue/e', 'issue/b')", "EPERM"),
            ("os.rename('issue/e', 'issue/f')", "None"),
            ("os.rename('issue/b', 'issue/f')", "None"),
            ("(lambda fd: os.rename('issue/g', 'issue/h'))(new('issue/g', data=batch[:30]))", "EBUSY"),
            ("(lambda fd: os.rename('issue/i', 'issue/j') or close(fd))(new('issue/i', data=batch))", "closed"),
            ("sorted(os.listdir('issue'))", "['f', 'g', 'j']"),
            ("os.link('issue/f', 'issue/k')", "EPERM"),
            ("os.symlink('f', 'issue/k')", "EPERM"),
            ("os.mkdir('issue/k')", "EPERM"),
            ("os.mkfifo('issue/k')", "EPERM"),
            ("os.mkdir('k')", "EPERM"),
            ("os.rmdir('issue')", "EPERM"),
            ("os.rmdir('issue/f')", "ENOTDIR"),
            ("os.unlink('issue')", "EISDIR"),
            ("os.unlink('status')", "EPERM"),
            ("os.unlink('issue/none')", "ENOENT"),
            ("os.unlink('issue/f')", "None"),
            (
                "(lambda fd: os.unlink('issue/m') or os.write(fd, batch[30:]))(new('issue/m', data=batch[:30]))",
                "ESTALE",
            ),
            ("(lambda fd: os.unlink('issue/n') or close(fd))(new('issue/n', data=batch))", "closed"),
            ("sorted(os.listdir('issue'))", "['g', 'j']"),
        ],
    );
}

#[test]
fn empty_files_are_bounded() {
    let card = card();
    calls(
        &card,
        &[
            ("len([close(new(f'issue/{n}')) for n in range(1024)])", "1024"),
            ("new('issue/one-more')", "ENOSPC"),
            ("len([os.unlink(f'issue/{n}') for n in range(1024)])", "1024"),
            ("close(new('issue/one-more', data=batch))", "closed"),
            ("sorted(os.listdir('issue'))", "['a', 'one-more']"),
        ],
    );
}

#[test]
fn times_and_owners_are_those_of_the_upload() {
    let mut card = Setup::new().groups("users", "games").mount();
    let file = card.file("batch", batch::ndef()).display().to_string();
    let program = format!(
        "batch = open('{file}', 'rb').read()
before = time.time()
fd = os.open('issue/a', os.O_WRONLY | os.O_CREAT); os.write(fd, batch[:30]); time.sleep(0.05)
half = time.time(); os.write(fd, batch[30:]); os.close(fd)
stat = os.stat('issue/a'); print(half - 0.02 < stat.st_mtime <= time.time() + 0.02, stat.st_mtime == stat.st_ctime)
os.setgroups([100]); os.setgid(65534); os.setuid(65534)
fd = os.open('issue/b', os.O_WRONLY | os.O_CREAT); os.write(fd, batch); os.close(fd)
print(os.stat('issue/b').st_uid, os.stat('issue/b').st_gid)"
    );
    assert_eq!(python(&card.mountpoint(), &program), ["True True", "65534 100"]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    card.remount();
    let program = "stat = os.stat('issue/b'); print(stat.st_uid, stat.st_mtime)";
    let said = python(&card.mountpoint(), program);
    let (owner, time) = said[0].split_once(' ').unwrap();
    assert_eq!(owner, "0", "owners live as long as the mount");
    assert!(time.parse::<f64>().unwrap() > now - 0.02, "times too: {time} is before {now}");
}
