//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine in one paragraph: processor, kernel, the disk that `folder` lies on, compiler.
pub(crate) fn describe(folder: &Path) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine = if cpuinfo.contains(" hypervisor ") { ", virtual machine" } else { "" };
    let kernel = first_line(fs::read_to_string("/proc/sys/kernel/osrelease").ok());
    let compiler = Command::new("rustc").arg("--version").output().ok();
    let compiler = first_line(compiler.and_then(|output| String::from_utf8(output.stdout).ok()));
    format!(
        "{}, {cores} cores{virtual_machine}; Linux {kernel}; images on {}; {compiler}, release build",
        model.trim_start_matches([' ', '\t', ':']),
        disk_of(folder),
    )
}

fn first_line(text: Option<String>) -> String {
    text.as_deref().and_then(|text| text.lines().next()).unwrap_or("unknown").to_owned()
}

/// File system and device of the mount that a path lies on (proc(5), mountinfo).
fn disk_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let parse = |line: &str| {
        let (place, source) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?.to_owned();
        let mut source = source.split(' ');
        Some((point, format!("{} on {}", source.next()?, source.next()?)))
    };
    let holding = mounts.lines().filter_map(parse).filter(|(point, _)| folder.starts_with(point));
    holding.max_by_key(|(point, _)| point.len()).map_or("an unknown disk".to_owned(), |(_, disk)| disk)
}
