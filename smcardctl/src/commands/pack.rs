//! `pack`: from a CAP file to a batch.

mod also;
mod target;

use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use smcard_batch::issue::{Blocks, IssueError, IssuePlan};
use smcard_batch::{Batch, BatchBuilder, BuildError, CapError, CapFile};
use zeroize::Zeroizing;

use crate::cli::{Pack, RecoveryPoints};
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};
use crate::progress::Progress;
pub(crate) use target::Target;

const WHAT: &str = "pack";
/// No CAP file is longer; the reader of CAP files names its own bound.
const CAP_READ_MAX: u64 = 64 << 20;

/// What was packed.
#[derive(Debug, PartialEq, Serialize)]
struct Packed {
    file: String,
    bytes: usize,
    commands: u32,
    package: String,
    version: String,
    installs: Vec<Instance>,
    recovery_points: usize,
    confirmation_needed: bool,
}

/// An instance that the batch makes.
#[derive(Debug, PartialEq, Serialize)]
struct Instance {
    module: String,
    instance: String,
}

pub(crate) fn run(output: Output, options: &Pack) -> Result<Exit, Failure> {
    let target = Target::new(&options.output, [&options.cap].into_iter().chain(&options.also))?;
    let progress = Progress::waiting("packing");
    let bytes = read(&options.cap)?;
    let refuse = |error: CapError| bad_cap(&options.cap, &error.to_string());
    let cap = CapFile::read(&bytes).map_err(refuse)?;
    let plan = plan(options, &cap).map_err(|error| unplannable(&options.cap, &error))?;
    let mut builder = plan.build().map_err(|error| unplannable(&options.cap, &error))?;
    for path in &options.also {
        also::append(&mut builder, path, options.recovery != RecoveryPoints::None)?;
    }
    let batch = Zeroizing::new(builder.finish().map_err(|error| unbuildable(&error))?);
    drop(progress);

    let packed = packed(options, &plan, &builder, &batch)?;
    target.write(&batch)?;
    output.show(&packed)?;
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CAP_READ_MAX).read_to_end(&mut bytes))
        .map_err(|error| Failure::file(path, &error))?;
    Ok(bytes)
}

fn plan<'a>(options: &Pack, cap: &'a CapFile) -> Result<IssuePlan<'a>, IssueError> {
    let mut plan = IssuePlan::new(cap);
    plan.include.descriptor = options.descriptor;
    plan.include.static_resources = !options.no_static_resources;
    plan.blocks = if options.direct { Blocks::Direct } else { Blocks::Size(options.block) };
    plan.security_domain = options.sd;
    plan.confirm = options.confirm;
    plan.recovery = options.recovery.into();
    if !options.applets.is_empty() {
        plan.installs = options.applets.iter().map(|applet| applet.0.clone()).collect();
    } else if !options.no_install {
        plan.install_all()?;
    }
    Ok(plan)
}

fn packed(options: &Pack, plan: &IssuePlan<'_>, builder: &BatchBuilder, batch: &[u8]) -> Result<Packed, Failure> {
    // Read again what was made: a batch that this program would refuse is never written.
    let parsed = Batch::parse(batch).map_err(|fault| Failure::new(Exit::Gone, WHAT, fault.to_string(), ""))?;
    let file = plan.cap.load_file().map_err(|fault| bad_cap(&options.cap, &fault.to_string()))?;
    let package = file.package();
    let installs = plan
        .installs
        .iter()
        .map(|install| Instance { module: install.module.to_string(), instance: install.instance.to_string() });
    Ok(Packed {
        file: options.output.to_string_lossy().into_owned(),
        bytes: batch.len(),
        commands: builder.count(),
        package: crate::hex::show(package.aid),
        version: format!("{}.{}", package.major, package.minor),
        installs: installs.collect(),
        recovery_points: parsed.recovery_points().len(),
        confirmation_needed: parsed.needs_confirmation(),
    })
}

fn bad_cap(path: &Path, why: &str) -> Failure {
    let what = printable(&path.to_string_lossy());
    Failure::new(Exit::BadInput, what, why, "convert or copy the package again")
}

/// What cannot be done with a CAP file: its own fault, or what was asked of it.
fn unplannable(path: &Path, error: &IssueError) -> Failure {
    match error {
        IssueError::Cap(_) | IssueError::Aid(_) => bad_cap(path, &error.to_string()),
        IssueError::Build(error) => unbuildable(error),
        _ => Failure::new(Exit::Usage, WHAT, error.to_string(), "see 'smcardctl pack --help'"),
    }
}

fn unbuildable(error: &BuildError) -> Failure {
    Failure::new(Exit::Usage, WHAT, error.to_string(), "see 'smcardctl pack --help'")
}

impl Report for Packed {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, bytes, commands, package, version, installs, recovery_points, confirmation_needed } = self;
        writeln!(out, "{}: {commands} commands, {bytes} bytes", printable(file))?;
        writeln!(out, "  package  {package} version {version}")?;
        for Instance { module, instance } in installs {
            if module == instance {
                writeln!(out, "  applet   {module}")?;
            } else {
                writeln!(out, "  applet   {module} as {instance}")?;
            }
        }
        if installs.is_empty() {
            writeln!(out, "  applet   none is installed")?;
        }
        if *recovery_points > 0 {
            writeln!(out, "  recovery {recovery_points} points")?;
        }
        if *confirmation_needed {
            writeln!(out, "  confirm  the card asks for 'smcardctl confirm' before first use")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
