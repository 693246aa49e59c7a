//! QEMU's control socket: the QEMU Machine Protocol, as far as the rig needs it.
//!
//! One JSON object a line. QEMU greets, the client asks for `qmp_capabilities`, then each command gets `return` or
//! `error`; events come in between and are kept until somebody waits for them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// How long QEMU may take to answer a command.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to QEMU's control socket.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
    events: Vec<Value>,
}

impl Qmp {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// If nobody listens there, or does not speak the protocol.
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display()))?;
        Self::greet(socket)
    }

    fn greet(socket: UnixStream) -> Result<Self> {
        let mut qmp = Qmp { reader: BufReader::new(socket), line: Vec::new(), events: Vec::new() };
        let greeting = qmp.message(Instant::now() + ANSWER)?;
        if greeting.get("QMP").is_none() {
            bail!("not a QMP socket: it greets with {greeting}");
        }
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives what it returns.
    ///
    /// # Errors
    /// What QEMU says against it, or that it says nothing.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({"execute": name, "arguments": arguments}).to_string();
        request.push('\n');
        self.reader.get_mut().write_all(request.as_bytes()).with_context(|| format!("sending {name} to QEMU"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let mut message = self.message(deadline).with_context(|| format!("QEMU's answer to {name}"))?;
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = message.get("error") {
                let text = error.get("desc").and_then(Value::as_str).unwrap_or("no description");
                return Err(anyhow!("QEMU refuses {name}: {text}"));
            }
            self.events.push(message);
        }
    }

    /// Waits for an event of that name, past or to come, and takes it.
    ///
    /// # Errors
    /// If none comes within `limit`.
    pub fn event(&mut self, name: &str, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
                return Ok(self.events.remove(at));
            }
            let message = self.message(deadline).with_context(|| format!("waiting for QEMU's event {name}"))?;
            self.events.push(message);
        }
    }

    /// The next line. What has come of a line is kept when the time is up, so nothing is lost.
    fn message(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.reader.get_ref().set_read_timeout(Some(left)).context("setting the time limit")?;
        self.reader.read_until(b'\n', &mut self.line).context("reading from QEMU")?;
        if self.line.last() != Some(&b'\n') {
            bail!("QEMU closed its control socket");
        }
        let value = serde_json::from_slice(&self.line).context("a line from QEMU is not JSON");
        self.line.clear();
        value
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A server that plays its lines, one before and one after every request.
    fn server(lines: &'static [&'static str]) -> Result<Qmp> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut reader = BufReader::new(theirs);
            for line in lines {
                if let Some(wanted) = line.strip_prefix("expect ") {
                    let mut request = String::new();
                    reader.read_line(&mut request).unwrap();
                    assert!(request.contains(wanted), "{request} should hold {wanted}");
                } else {
                    writeln!(reader.get_mut(), "{line}").unwrap();
                }
            }
        });
        Qmp::greet(ours)
    }

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

    #[test]
    fn events_between_request_and_answer_are_kept() {
        let mut qmp = server(&[
            GREETING,
            "expect qmp_capabilities",
            r#"{"return": {}}"#,
            "expect query-status",
            r#"{"event": "STOP"}"#,
            r#"{"event": "RESUME"}"#,
            r#"{"return": {"status": "running"}}"#,
        ])
        .unwrap();
        let answer = qmp.command("query-status", json!({})).unwrap();
        assert_eq!(answer["status"], "running");
        assert_eq!(qmp.event("RESUME", Duration::ZERO).unwrap()["event"], "RESUME");
        assert_eq!(qmp.event("STOP", Duration::ZERO).unwrap()["event"], "STOP");
    }

    #[test]
    fn a_refusal_is_an_error_with_its_reason() {
        let mut qmp = server(&[
            GREETING,
            "expect qmp_capabilities",
            r#"{"return": {}}"#,
            "expect eject",
            r#"{"error": {"class": "GenericError", "desc": "no such device"}}"#,
        ])
        .unwrap();
        let error = qmp.command("eject", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refuses eject: no such device");
    }

    #[test]
    fn another_protocol_is_refused() {
        let error = server(&[r#"{"hello": 1}"#]).unwrap_err();
        assert!(error.to_string().starts_with("not a QMP socket"), "{error}");
    }

    #[test]
    fn a_closed_socket_is_an_error() {
        let error = server(&[]).unwrap_err();
        assert_eq!(error.to_string(), "QEMU closed its control socket");
    }
}
