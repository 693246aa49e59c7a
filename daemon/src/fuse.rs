//! The adapter to FUSE, and the only file that knows the crate `fuser`: decode, call the core, reply.
//!
//! Three rules of the kernel's border are kept here. An errno is in 1..=511: the kernel drops a reply with a larger one,
//! and the caller sleeps for ever. A panic does not end the loop silently: it is caught, the caller gets an error, and
//! the alarm is raised so that the daemon unmounts. Every file but `control` is always ready for poll(2).

use crate::core::{Caller, Core, OpenFlags, Opened};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::tree::Attributes;
use fuser::{
    BsdFileFlags, Config, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Longest write the kernel sends in one request, bytes.
const MAX_WRITE: u32 = 1 << 20;
/// How long the kernel may keep what does not change.
const KEEP: Duration = Duration::from_secs(1);
/// Longest name in `issue/`.
const NAME_MAX: u32 = 255;

/// What raises the alarm after a panic.
pub type Alarm = Box<dyn Fn() + Send + Sync>;

/// A mount that is being served.
pub struct Served(Session<Adapter>);

impl Served {
    /// Greets the kernel over an open `/dev/fuse`; when this returns, the mount answers as soon as [`Served::run`] runs.
    ///
    /// # Errors
    /// The kernel does not speak a protocol that is known, or the mount has gone.
    pub fn new(core: Arc<Core>, fd: OwnedFd, allow_other: bool, alarm: Alarm) -> io::Result<Self> {
        let acl = if allow_other { SessionACL::All } else { SessionACL::Owner };
        let mut config = Config::default();
        config.acl = acl;
        config.n_threads = Some(1);
        Session::from_fd(Adapter { core, alarm }, fd, acl, config).map(Served)
    }

    /// Serves until the file system is unmounted.
    /// A connection that somebody aborts (`umount -f`, or an unmount that races with a request) has ended as well.
    ///
    /// # Errors
    /// The connection broke.
    pub fn run(self) -> io::Result<()> {
        match self.0.run() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            ended => ended,
        }
    }
}

struct Adapter {
    core: Arc<Core>,
    alarm: Alarm,
}

impl Adapter {
    fn serve(&self, what: &'static str, serve: impl FnOnce(&Arc<Core>)) {
        if catch_unwind(AssertUnwindSafe(|| serve(&self.core))).is_err() {
            log::error!("{what}: the daemon panicked; the card is unmounted");
            (self.alarm)();
        }
    }
}

fn errno(refusal: &Refusal) -> Errno {
    Errno::from_i32(refusal.errno().raw_os_error().clamp(1, 511))
}

fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), tid: request.pid() }
}

/// The replies of the kernel's border, as far as refusing goes.
trait Refuses: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuses {
    ($($reply:ty),*) => { $(impl Refuses for $reply {
        fn refuse(self, errno: Errno) {
            self.error(errno);
        }
    })* };
}
refuses!(ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen);
refuses!(ReplyPoll, ReplyStatfs, ReplyWrite);

fn later<R: Refuses, T>(what: &'static str, reply: R, ok: impl FnOnce(R, T) + Send + 'static) -> Reply<T> {
    Reply::new(move |answer| answered(what, reply, answer, ok))
}

fn answered<R: Refuses, T>(what: &'static str, reply: R, answer: Result<T, Refusal>, ok: impl FnOnce(R, T)) {
    match answer {
        Ok(value) => ok(reply, value),
        Err(refusal) => {
            if !matches!(refusal, Refusal::NotFound | Refusal::NotAnIoctl | Refusal::Pending) {
                log::debug!("{what}: {refusal}");
            }
            reply.refuse(errno(&refusal));
        }
    }
}

fn kept(attributes: &Attributes) -> Duration {
    if attributes.fixed { KEEP } else { Duration::ZERO }
}

fn file_attr(attributes: &Attributes) -> FileAttr {
    let Attributes { ino, directory, size, mode, links, uid, gid, mtime, block, .. } = *attributes;
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind: kind(directory),
        perm: mode,
        nlink: links,
        uid,
        gid,
        rdev: 0,
        blksize: block,
        flags: 0,
    }
}

fn kind(directory: bool) -> FileType {
    if directory { FileType::Directory } else { FileType::RegularFile }
}

fn fopen(opened: Opened) -> (FileHandle, FopenFlags) {
    let mut flags = FopenFlags::FOPEN_DIRECT_IO;
    if opened.stream {
        flags |= FopenFlags::FOPEN_STREAM | FopenFlags::FOPEN_NONSEEKABLE;
    }
    (FileHandle(opened.fh), flags)
}

fn open_flags(flags: i32) -> OpenFlags {
    let bits = rustix::fs::OFlags::from_bits_retain(u32::from_ne_bytes(flags.to_ne_bytes()));
    let mode = bits & rustix::fs::OFlags::RWMODE;
    OpenFlags {
        write: mode == rustix::fs::OFlags::WRONLY || mode == rustix::fs::OFlags::RDWR,
        exclusive: bits.contains(rustix::fs::OFlags::EXCL),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The nearest value is taken where the kernel has another limit; an unknown capability is no loss.
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let reply = later("lookup", reply, |reply: ReplyEntry, attributes: Attributes| {
            reply.entry(&kept(&attributes), &file_attr(&attributes), Generation(0));
        });
        self.serve("lookup", |core| core.lookup(parent.0, name.as_bytes(), reply));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.serve("getattr", |core| answered("getattr", reply, core.getattr(ino.0), attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.serve("setattr", |core| answered("setattr", reply, core.setattr(ino.0, size), attr));
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let reply = later("unlink", reply, |reply: ReplyEmpty, ()| reply.ok());
        self.serve("unlink", |core| core.unlink(parent.0, name.as_bytes(), reply));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let reply = later("rename", reply, |reply: ReplyEmpty, ()| reply.ok());
        let (from, to) = ((parent.0, name.as_bytes()), (newparent.0, newname.as_bytes()));
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.serve("rename", |core| core.rename(from, to, keep, reply));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        let reply = later("open", reply, |reply: ReplyOpen, opened| {
            let (fh, flags) = fopen(opened);
            reply.opened(fh, flags);
        });
        self.serve("open", |core| core.open(caller(request), ino.0, open_flags(flags.0), reply));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let reply = later("create", reply, |reply: ReplyCreate, (attributes, opened): (Attributes, Opened)| {
            let (fh, flags) = fopen(opened);
            reply.created(&kept(&attributes), &file_attr(&attributes), Generation(0), fh, flags);
        });
        let flags = open_flags(flags);
        self.serve("create", |core| core.create(caller(request), parent.0, name.as_bytes(), flags, reply));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.serve("read", |core| {
            let data = core.read_file(ino.0, fh.0, offset, size);
            answered("read", reply, data, |reply, data| reply.data(&data));
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let reply = later("write", reply, |reply: ReplyWrite, size| reply.written(size));
        self.serve("write", |core| core.write(fh.0, offset, data, reply));
    }

    fn flush(&self, request: &Request, _: INodeNo, fh: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.serve("flush", |core| {
            answered("flush", reply, core.flush(caller(request), fh.0), |reply, ()| reply.ok());
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.serve("release", |core| core.release(fh.0));
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // A batch is durable when its last write has been answered.
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: fuser::OpenFlags, reply: ReplyOpen) {
        let reply = later("opendir", reply, |reply: ReplyOpen, fh| {
            reply.opened(FileHandle(fh), FopenFlags::empty());
        });
        self.serve("opendir", |core| core.opendir(ino.0, reply));
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.serve("readdir", |core| {
            let shown = core.readdir(fh.0, offset, |entry, next| {
                !reply.add(INodeNo(entry.ino), next, kind(entry.directory), OsStr::from_bytes(&entry.name))
            });
            answered("readdir", reply, shown, |reply, ()| reply.ok());
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: fuser::OpenFlags, reply: ReplyEmpty) {
        self.serve("releasedir", |core| core.releasedir(fh.0));
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let reply = later("statfs", reply, |reply: ReplyStatfs, s: crate::core::StatFs| {
            reply.statfs(s.blocks, s.free, s.free, s.files, s.files_free, s.block, NAME_MAX, s.block);
        });
        self.serve("statfs", |core| core.statfs(reply));
    }

    fn ioctl(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _: IoctlFlags,
        cmd: u32,
        in_data: &[u8],
        out_size: u32,
        reply: ReplyIoctl,
    ) {
        self.serve("ioctl", |core| {
            let answer = core.ioctl(caller(request), ino.0, fh.0, cmd, in_data);
            answered("ioctl", reply, answer, |reply, data| {
                // More than the number names would be refused by the kernel.
                if u32::try_from(data.len()).is_ok_and(|size| size <= out_size) {
                    reply.ioctl(0, &data);
                } else {
                    reply.error(Errno::EIO);
                }
            });
        });
    }

    fn poll(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        _: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        self.serve("poll", |core| {
            let waker: Option<crate::control::Waker> =
                flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY).then(|| {
                    Box::new(move || {
                        if let Err(error) = notifier.notify() {
                            log::debug!("poll wake-up: {error}");
                        }
                    }) as crate::control::Waker
                });
            let ready = core.poll(ino.0, fh.0, waker);
            let mut events = PollEvents::empty();
            events.set(PollEvents::POLLIN | PollEvents::POLLRDNORM, ready.readable);
            events.set(PollEvents::POLLOUT | PollEvents::POLLWRNORM, ready.writable);
            events.set(PollEvents::POLLPRI, ready.priority);
            reply.poll(events);
        });
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(Errno::EOPNOTSUPP);
    }

    // ENOSYS is remembered by the kernel, which then does without: no extended attributes, seeking and copying are its
    // own business.
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }
}

fn attr(reply: ReplyAttr, attributes: Attributes) {
    reply.attr(&kept(&attributes), &file_attr(&attributes));
}
