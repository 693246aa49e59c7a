//! The ways programs write a file, as a table: each ends with the batch complete or with an error the program shows,
//! and never with something half left.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::fs;

use smcard_tests::{Mounted, Output, Setup, batch};

/// What must come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The program succeeds; the file named is listed with the size of its source, and can be started.
    Complete(Source),
    /// The program fails or says what is wrong (here: with these words), and the file is not there.
    Error(&'static str),
    /// The program says what is wrong (with these words) before it has written anything; the file it made is empty.
    ErrorEmpty(&'static str),
    /// The program says what is wrong (with these words), and the batch that stood there is as it was.
    Keeps(&'static str),
    /// The program succeeds without writing anything; an empty file waits for its contents and cannot be started.
    Empty,
}
use Expected::{Complete, Empty, Error, ErrorEmpty, Keeps};

/// Which batch: all three can be started again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// About 2 KiB.
    Small,
    /// About 60 KiB.
    Medium,
    /// More than 1 MiB, so that no program writes it at once.
    Large,
}
use Source::{Large, Medium, Small};

impl Source {
    fn bytes(self) -> &'static [u8] {
        match self {
            Small => batch::again_small(),
            Medium => batch::again_medium(),
            Large => batch::again_large(),
        }
    }
}

/// A way to write a file. `$S`, `$M` and `$L` are the small, the medium and the large batch, `$T` is the file to be
/// written, `$B` a batch (the medium one) that stands in `issue/` already.
struct Row {
    name: &'static str,
    script: &'static str,
    expected: Expected,
}

const fn row(name: &'static str, script: &'static str, expected: Expected) -> Row {
    Row { name, script, expected }
}

/// Programs and shells.
const PROGRAMS: &[Row] = &[
    row("cp", "cp $L $T", Complete(Large)),
    row("cp -p", "cp -p $L $T", Complete(Large)),
    row("cp -a", "cp -a $M $T", Complete(Medium)),
    row("cp --sparse=always", "cp --sparse=always $M $T", Complete(Medium)),
    row("cp --sparse=always, zeros inside", "cp --sparse=always zeros.batch $T", Error("Illegal seek")),
    row("cp --reflink=auto", "cp --reflink=auto $M $T", Complete(Medium)),
    row("cp over another batch", "cp $S $B && mv $B $T", Complete(Small)),
    row("cp --remove-destination", "cp --remove-destination $S $B && mv $B $T", Complete(Small)),
    row("cp -b (backup)", "cp -b $S $B && mv $B $T && rm $B~", Complete(Small)),
    row("mv across file systems", "cp $M m && mv m $T && [ ! -e m ]", Complete(Medium)),
    row("mv within issue/", "cp $M $T.part && mv $T.part $T", Complete(Medium)),
    row("mv over another batch", "cp $S $T && mv $T $B && mv $B $T", Complete(Small)),
    row("install", "install -m 600 $L $T", Complete(Large)),
    row("rsync", "rsync $L $T", Complete(Large)),
    row("rsync -a", "rsync -a $M $T", Complete(Medium)),
    row("rsync --inplace", "rsync --inplace $L $T", Complete(Large)),
    row("rsync --partial", "rsync --partial $M $T", Complete(Medium)),
    row("rsync over another batch", "rsync $S $B && mv $B $T", Complete(Small)),
    row("rsync --inplace over another", "rsync --inplace $S $B && mv $B $T", Complete(Small)),
    row("rsync --append", "rsync --append $L $T", Complete(Large)),
    row("dd bs=1", "dd if=$S of=$T bs=1 status=none", Complete(Small)),
    row("dd bs=512", "dd if=$M of=$T bs=512 status=none", Complete(Medium)),
    row("dd bs=1M", "dd if=$L of=$T bs=1M status=none", Complete(Large)),
    row("dd conv=fsync", "dd if=$L of=$T bs=64K conv=fsync status=none", Complete(Large)),
    row("dd oflag=sync", "dd if=$M of=$T bs=4K oflag=sync status=none", Complete(Medium)),
    row("dd oflag=direct", "dd if=$M of=$T bs=4K oflag=direct status=none", Complete(Medium)),
    row("dd conv=notrunc", "dd if=$M of=$T bs=4K conv=notrunc status=none", Complete(Medium)),
    row("dd seek=1", "dd if=$M of=$T bs=512 seek=1 status=none", Error("")),
    row("dd conv=sparse", "dd if=$M of=$T bs=512 conv=sparse,notrunc status=none", Complete(Medium)),
    row("tee", "tee $T < $L > /dev/null", Complete(Large)),
    row(
        "tee, two files at once",
        "tee $T $T.2 < $L > /dev/null && cmp <(stat -c %s $T) <(stat -c %s $T.2) && rm $T.2",
        Complete(Large),
    ),
    row("tee -a", "tee -a $T < $M > /dev/null", Complete(Medium)),
    row("tar x", "tar cf a.tar --transform s,.*,row, -C / ${M#/} 2>&- && tar xf a.tar -C ${T%/*}", Complete(Medium)),
    row("cat >", "cat $L > $T", Complete(Large)),
    row("cat < >", "cat < $M > $T", Complete(Medium)),
    row("cat >>", "cat $M >> $T", Complete(Medium)),
    row("(cat; cat) >", "(head -c 1000 $M; tail -c +1001 $M) > $T", Complete(Medium)),
    row("{ cat; cat; } >", "{ head -c 7 $M; tail -c +8 $M; } > $T", Complete(Medium)),
    row("cat >, then cat >>", "head -c 1000 $M > $T", Error("write error: Bad message")),
    row("head -c >, all of it", "head -c 99999999 $L > $T", Complete(Large)),
    row("split", "split -b 10M --additional-suffix=x $L ${T%/*}/ && mv ${T%/*}/aax $T", Complete(Large)),
    row("exec 3>, in pieces", "exec 3> $T; head -c 20 $S >&3; tail -c +21 $S >&3; exec 3>&-", Complete(Small)),
    row("sponge by sh", "x=$(base64 -w0 $S); echo $x | base64 -d > $T", Complete(Small)),
    row("echo > (no batch)", "echo hello > $T", Error("write error: Bad message")),
    row("printf > (no batch)", "printf 'SMC' > $T; printf x >> $T", Error("write error: Bad message")),
    row("printf, a piece at a time", "(printf SM; printf CB; tail -c +5 $S) > $T", Complete(Small)),
    row("cp of half a batch", "head -c 30000 $M > half; cp half $T", Error("Bad message")),
    row("cp of a batch with a tail", "(cat $M; echo) > long; cp long $T", Error("Bad message")),
    row("cp of an empty file", "cp /dev/null $T", Empty),
    row("cp of a folder", "mkdir -p d && cp -r d $T", Error("Operation not permitted")),
];

/// Languages and system calls.
const CALLS: &[Row] = &[
    row("Python open().write()", "python3 -c 'import sys; open(sys.argv[2],\"wb\").write(open(sys.argv[1],\"rb\").read())' $L $T", Complete(Large)),
    row("Python shutil.copyfile", "python3 -c 'import sys,shutil; shutil.copyfile(*sys.argv[1:])' $L $T", Complete(Large)),
    row("Python shutil.copy2", "python3 -c 'import sys,shutil; shutil.copy2(*sys.argv[1:])' $M $T", Complete(Medium)),
    row("Python, byte by byte", "python3 -c 'import sys
f=open(sys.argv[2],\"wb\",0)
for b in open(sys.argv[1],\"rb\").read(): f.write(bytes([b]))' $S $T", Complete(Small)),
    row("Python os.sendfile", "python3 -c 'import os,sys
i=os.open(sys.argv[1],0); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT); n=0
while (k:=os.sendfile(o,i,None,1<<20)): n+=k
os.close(o)' $L $T", Complete(Large)),
    row("Python os.splice", "python3 -c 'import os,sys
i=os.open(sys.argv[1],0); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT); r,w=os.pipe()
while (k:=os.splice(i,w,65536)):
  while k: k-=os.splice(r,o,k)
os.close(o)' $L $T", Complete(Large)),
    row("Python os.copy_file_range", "python3 -c 'import os,sys
i=os.open(sys.argv[1],0); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT)
while os.copy_file_range(i,o,1<<20): pass' $L $T", ErrorEmpty("Invalid cross-device link")),
    row("Python os.writev", "python3 -c 'import os,sys
b=open(sys.argv[1],\"rb\").read(); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT)
assert os.writev(o,[b[:5],b[5:100],b[100:]])==len(b); os.close(o)' $M $T", Complete(Medium)),
    row("Python os.pwrite, in order", "python3 -c 'import os,sys
b=open(sys.argv[1],\"rb\").read(); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT)
for p in range(0,len(b),1000): os.pwrite(o,b[p:p+1000],p)
os.close(o)' $M $T", Complete(Medium)),
    row("Python os.pwrite, backwards", "python3 -c 'import os,sys
b=open(sys.argv[1],\"rb\").read(); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT)
for p in reversed(range(0,len(b),1000)): os.pwrite(o,b[p:p+1000],p)' $M $T", Error("Illegal seek")),
    row("Python, fork and both close", "python3 -c 'import os,sys
b=open(sys.argv[1],\"rb\").read(); o=os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT); os.write(o,b[:100])
if os.fork()==0: os.close(o); os._exit(0)
os.wait(); os.write(o,b[100:]); os.close(o)' $M $T", Complete(Medium)),
    row("Python tempfile and os.replace", "python3 -c 'import os,sys,tempfile
d=os.path.dirname(sys.argv[2]); t=tempfile.NamedTemporaryFile(dir=d,delete=False)
t.write(open(sys.argv[1],\"rb\").read()); t.flush(); os.fsync(t.fileno()); t.close(); os.replace(t.name,sys.argv[2])' $M $T", Complete(Medium)),
    row("Python, renamed while open", "python3 -c 'import os,sys
t=sys.argv[2]+\".part\"; f=open(t,\"wb\",0); f.write(open(sys.argv[1],\"rb\").read()); os.rename(t,sys.argv[2]); f.close()' $M $T", Complete(Medium)),
    row("Python mmap", "python3 -c 'import mmap,os,sys
b=open(sys.argv[1],\"rb\").read(); o=os.open(sys.argv[2],os.O_RDWR|os.O_CREAT); os.ftruncate(o,len(b))
m=mmap.mmap(o,len(b)); m[:]=b; m.flush()' $M $T", ErrorEmpty("Invalid argument")),
    row("Python O_EXCL", "python3 -c 'import sys; open(sys.argv[2],\"xb\").write(open(sys.argv[1],\"rb\").read())' $M $T", Complete(Medium)),
    row("Python O_EXCL over another", "python3 -c 'import sys; open(sys.argv[2],\"xb\")' $M $B", Keeps("FileExistsError")),
    row("Python O_APPEND", "python3 -c 'import sys; open(sys.argv[2],\"ab\").write(open(sys.argv[1],\"rb\").read())' $M $T", Complete(Medium)),
    row("Python O_TMPFILE", "python3 -c 'import os,sys; os.open(os.path.dirname(sys.argv[2]),os.O_TMPFILE|os.O_RDWR)' $M $T", Error("OSError")),
    row("Python, without close, killed", "python3 -c 'import os,sys
os.write(os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT),open(sys.argv[1],\"rb\").read(1000)); os.kill(os.getpid(),9)' $M $T; k=$?; echo killed >&2; (exit $k)", Error("killed")),
    row("busybox cp", "busybox cp $L $T", Complete(Large)),
    row("busybox cat >", "busybox cat $L > $T", Complete(Large)),
    row("busybox dd", "busybox dd if=$M of=$T bs=4k 2>&-", Complete(Medium)),
    row("busybox mv", "cp $M m && busybox mv m $T", Complete(Medium)),
    row("busybox tee", "busybox tee $T < $M > /dev/null", Complete(Medium)),
    row("busybox tar x", "tar cf a.tar --transform s,.*,row, -C / ${M#/} 2>&- && busybox tar xf a.tar -C ${T%/*}", Complete(Medium)),
];

/// What is done to a file otherwise, and to one that is there.
const OTHERWISE: &[Row] = &[
    row("touch", "touch $T", Empty),
    row("> (truncate by the shell)", "> $T", Empty),
    row("touch, then cp", "touch $T && cp $M $T", Complete(Medium)),
    row("touch of a batch", "touch $B && mv $B $T", Complete(Medium)),
    row("chmod and chown", "cp $M $T && chmod 600 $T && chown 0:0 $T", Complete(Medium)),
    row("truncate -s 100", "truncate -s 100 $T", ErrorEmpty("Invalid argument")),
    row("truncate -s 100 of a batch", "truncate -s 100 $B", Keeps("Invalid argument")),
    row("truncate -s +1 of a batch", "truncate -s +1 $B", Keeps("Invalid argument")),
    row("truncate -s 0 of a batch, then nothing", "truncate -s 0 $B && mv $B $T", Complete(Medium)),
    row("fallocate", "fallocate -l 1000 $T", ErrorEmpty("not supported")),
    row("fallocate of a batch", "fallocate -l 1000 $B", Keeps("not supported")),
    row("append to a batch", "echo x >> $B", Keeps("write error: Illegal seek")),
    row("cat >> to a batch", "cat $S >> $B", Keeps("Illegal seek")),
    row("half a batch over another", "head -c 1000 $S | dd of=$B status=none", Keeps("Bad message")),
    row("echo over another batch", "echo no > $B", Keeps("write error: Bad message")),
    row(
        "a damaged batch over another",
        "(head -c 100 $M; head -c 60000 /dev/zero) | head -c $(stat -c %s $M) > bad; cp bad $B",
        Keeps("Bad message"),
    ),
    row(
        "rsync of a damaged batch over another",
        "(head -c 1000 $M; tail -c +1001 $M | tr A B) > bad; ! cmp -s bad $M && rsync -I bad $B",
        Keeps("Bad message"),
    ),
    row(
        "dd conv=notrunc into the middle",
        "dd if=$S of=$B bs=10 seek=3 conv=notrunc status=none",
        Keeps("Illegal seek"),
    ),
    row("sed -i", "sed -i s/a/b/ $B", Keeps("Permission denied")),
    row("cat of a batch", "cat $B", Keeps("Permission denied")),
    row("cp of a batch out", "cp $B out", Keeps("Permission denied")),
    row("ln", "ln $B $T", Keeps("Operation not permitted")),
    row("ln -s", "ln -s $B $T", Error("Operation not permitted")),
    row("mkdir", "mkdir $T", Error("Operation not permitted")),
    row("mkfifo", "mkfifo $T", Error("Operation not permitted")),
    row(
        "setfattr",
        "python3 -c 'import os,sys; os.setxattr(sys.argv[1],\"user.a\",b\"b\")' $B",
        Keeps("not supported"),
    ),
    row("mv of a batch out", "mv $B out", Keeps("Permission denied")),
    row("mv -n onto another", "cp $S $T && mv -n $T $B; rm -f $T", Keeps("")),
    row("mv of a batch to another folder", "mv $B ${T%/*}/../$(basename $T)", Keeps("Operation not permitted")),
    row("a name of 255 bytes", "n=$(printf %0255d 0); cp $M ${T%/*}/$n && mv ${T%/*}/$n $T", Complete(Medium)),
    row("a name of 256 bytes", "cp $M ${T%/*}/$(printf %0256d 0)", Error("File name too long")),
    row("rm -rf of the folder", "rm -rf ${T%/*}", Error("Operation not permitted")),
    row(
        "rm while it is written",
        "exec 3> $T; head -c 100 $M >&3; rm $T; tail -c +101 $M >&3",
        Error("Stale file handle"),
    ),
    row("a cut copy, then a whole one", "head -c 1000 $M > half; cp half $T 2>&-; cp $M $T", Complete(Medium)),
];

fn table(rows: &[Row]) {
    for program in ["rsync", "busybox", "python3", "tar", "install", "dd", "fallocate"] {
        let output = smcard_tests::shell(&format!("command -v {program}"));
        assert_eq!(output.code, 0, "{program} is missing; scripts/setup.sh installs it");
    }
    let card = Setup::new().size("16M").mount();
    for (name, source) in [("small", Small), ("medium", Medium), ("large", Large)] {
        card.file(name, source.bytes());
    }
    card.file("zeros.batch", &zeros());
    let mut report = String::new();
    let mut wrong = 0;
    for row in rows {
        let verdict = try_row(&card, row);
        wrong += usize::from(verdict.is_err());
        let said = match verdict {
            Ok(said) => format!("ok    {said}"),
            Err(why) => format!("WRONG {why}"),
        };
        writeln!(report, "{:<40} {said}", row.name).unwrap();
        card.shell("rm -rf $CARD/issue/* m d a.tar half long bad out").ok_or_note(&mut report);
    }
    println!("{report}");
    let bad: Vec<&str> = report.lines().filter(|line| line.contains(" WRONG ")).collect();
    assert_eq!(wrong, 0, "\n{}\n", bad.join("\n"));
}

/// Runs a row; what the program said, or what is wrong.
fn try_row(card: &Mounted, row: &Row) -> Result<String, String> {
    let standing = ("standing".to_owned(), Medium.bytes().len().try_into().unwrap());
    if row.script.contains("$B") {
        card.put(Medium.bytes(), "standing");
    }
    let variables = "S=$PWD/small M=$PWD/medium L=$PWD/large T=$CARD/issue/row B=$CARD/issue/standing";
    let output = card.shell(&format!("{variables}; set -o pipefail; {}", row.script));
    let said = output.stderr.lines().last().unwrap_or_default();
    let said = said.replace(&card.mountpoint().display().to_string(), "$CARD");
    let batches = card.batches();
    let only = |wanted: &[(String, u64)]| {
        if batches == wanted { Ok(()) } else { Err(format!("issue/ holds {batches:?}, not {wanted:?}; {output:?}")) }
    };
    let complete = |source: Source| {
        let size = source.bytes().len().try_into().unwrap();
        only(&[("row".to_owned(), size)])?;
        let started = card.ctl(&["start", "row"]);
        if started.code == 0 { Ok(()) } else { Err(format!("cannot be started: {started:?}")) }
    };
    match row.expected {
        Complete(source) => {
            succeeded(&output)?;
            complete(source)?;
        }
        Error(words) => {
            failed(&output, words)?;
            let without = if row.script.contains("$B") { vec![standing] } else { Vec::new() };
            only(&without)?;
        }
        Keeps(words) => {
            if words.is_empty() { Ok(()) } else { failed(&output, words) }?;
            only(&[standing])?;
            let started = card.ctl(&["start", "standing"]);
            if started.code != 0 {
                return Err(format!("the batch that stood there cannot be started: {started:?}"));
            }
        }
        Empty | ErrorEmpty(_) => {
            if let ErrorEmpty(words) = row.expected { failed(&output, words) } else { succeeded(&output) }?;
            only(&[("row".to_owned(), 0)])?;
            if card.ctl(&["start", "row"]).code != 1 {
                return Err("an empty file was started".to_owned());
            }
        }
    }
    Ok(said)
}

fn succeeded(output: &Output) -> Result<(), String> {
    if output.code == 0 && output.stderr.is_empty() { Ok(()) } else { Err(format!("failed: {output:?}")) }
}

fn failed(output: &Output, words: &str) -> Result<(), String> {
    let shown = output.code != 0 || !output.stderr.is_empty();
    if shown && output.stderr.contains(words) { Ok(()) } else { Err(format!("no error with {words:?}: {output:?}")) }
}

/// Cleaning up between rows is part of what is tested.
trait Note {
    fn ok_or_note(self, report: &mut String);
}

impl Note for Output {
    fn ok_or_note(self, report: &mut String) {
        assert_eq!(self.code, 0, "cannot be cleaned up: {self:?}\n{report}");
    }
}

/// A batch with zeros over many blocks: `cp --sparse=always` leaves them out.
fn zeros() -> Vec<u8> {
    use smcard_batch::{BatchBuilder, CommandApdu};
    let mut builder = BatchBuilder::new();
    let data = [vec![0; 3_000_000], vec![1]].concat();
    builder.push(&CommandApdu::new(0x80, 0xE8, 0x80, 0x00, &data)).unwrap();
    builder.finish().unwrap()
}

#[test]
fn programs_and_shells() {
    table(PROGRAMS);
}

#[test]
fn languages_and_system_calls() {
    table(CALLS);
}

#[test]
fn files_that_are_there_and_things_that_are_no_batches() {
    table(OTHERWISE);
}

#[test]
fn files_of_one_program_are_written_at_once() {
    let card = Setup::new().size("16M").mount();
    let source = card.file("source", batch::again_medium());
    let copy = "for n in 1 2 3 4 5 6 7 8; do cp $0 $CARD/issue/$n & done; wait";
    let script = copy.replace("$0", &source.display().to_string());
    card.shell(&script).ok();
    assert_eq!(card.batches().len(), 8);
    assert!(card.batches().iter().all(|(_, size)| *size == fs::metadata(&source).unwrap().len()));
}

#[test]
fn a_ninth_upload_at_once_is_told_and_the_others_go_on() {
    let card = Setup::new().size("16M").mount();
    let source = card.file("source", batch::again_medium());
    let script = format!(
        "files=(); for n in 1 2 3 4 5 6 7 8; do exec {{fd}}> $CARD/issue/$n; head -c 1000 {0} >&$fd; files+=($fd); done; \
         cp {0} $CARD/issue/9; echo $?; for fd in ${{files[@]}}; do tail -c +1001 {0} >&$fd; done",
        source.display()
    );
    let output = card.shell(&script).ok();
    assert_eq!(output.stdout, "1\n", "{output:?}");
    assert!(output.stderr.contains("Device or resource busy"), "{output:?}");
    assert_eq!(card.batches().len(), 8, "{:?}", card.batches());
    assert!(card.batches().iter().all(|(_, size)| *size == fs::metadata(&source).unwrap().len()));
}
