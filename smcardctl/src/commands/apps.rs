//! `apps`: the applications on the card.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::card::{self, Card};
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

/// One application, from its folder in apps/.
#[derive(Debug, PartialEq, Serialize)]
struct App {
    aid: String,
    kind: Option<String>,
    state: Option<String>,
    package: Option<String>,
    version: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Apps(Vec<App>);

pub(crate) fn run(card: &Card, output: Output) -> Result<Exit, Failure> {
    let apps = card.entries("apps", "apps")?.into_iter().map(|entry| {
        let name = printable(&entry.file_name().to_string_lossy());
        App::read(&entry.path(), name)
    });
    output.show(&Apps(apps.collect()))?;
    Ok(Exit::Done)
}

impl App {
    /// A folder without the file `aid` is named by itself.
    fn read(folder: &Path, name: String) -> Self {
        let value = |name: &str| card::value(&folder.join(name)).filter(|value| !value.is_empty());
        Self {
            aid: value("aid").unwrap_or(name),
            kind: value("kind"),
            state: value("state"),
            package: value("package"),
            version: value("version"),
        }
    }
}

impl Report for Apps {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let head = ["AID", "KIND", "STATE", "PACKAGE", "VERSION"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(head)
            .chain(self.0.iter().map(|app| {
                let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                let App { aid, kind, state, package, version } = app;
                [aid.clone(), or_dash(kind), or_dash(state), or_dash(package), or_dash(version)]
            }))
            .collect();
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_application_is_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("apps/D2760000850101");
        fs::create_dir_all(&folder).unwrap();
        for (name, value) in [("aid", "D2760000850101\n"), ("kind", "applet\n"), ("state", "selectable\n")] {
            fs::write(folder.join(name), value).unwrap();
        }
        let app = App::read(&folder, "x".to_owned());
        assert_eq!(app.aid, "D2760000850101");
        assert_eq!((app.kind.as_deref(), app.version.as_deref()), (Some("applet"), None));

        let mut text = Vec::new();
        Apps(vec![app]).text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "AID             KIND    STATE       PACKAGE  VERSION\nD2760000850101  applet  selectable  -        -\n"
        );
    }
}
