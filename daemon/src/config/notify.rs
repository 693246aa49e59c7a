//! `[notify]`: who is told how issues end.

use super::ConfigError;
use super::terminal::seconds;
use crate::tell::{CommandSettings, TellSettings};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// `[notify]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Where results wait.
    pub outbox: Option<PathBuf>,
    /// Most that wait for one receiver.
    pub outbox_max: u32,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How long it may run, seconds.
    #[serde(deserialize_with = "seconds")]
    pub command_timeout_s: Duration,
    /// A broker.
    pub mqtt: Option<Mqtt>,
}

impl Default for Notify {
    fn default() -> Self {
        let command_timeout_s = Duration::from_secs(30);
        Notify { outbox: None, outbox_max: 1000, command: Vec::new(), command_timeout_s, mqtt: None }
    }
}

/// `[notify.mqtt]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Name or address of the broker.
    pub host: String,
    /// Its port; 1883, with TLS 8883.
    pub port: Option<u16>,
    /// Topic; `{cid}` stands for the card's identification.
    #[serde(default = "topic")]
    pub topic: String,
    /// Name of the client, likewise.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// User.
    pub username: Option<String>,
    /// File with the password, on its first line.
    pub password_file: Option<PathBuf>,
    /// How long a result may take to get there, seconds.
    #[serde(default = "timeout", deserialize_with = "seconds")]
    pub timeout_s: Duration,
    /// TLS.
    pub tls: Option<Tls>,
}

/// `[notify.mqtt.tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Trusted authorities.
    pub ca: Option<PathBuf>,
    /// Own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

fn topic() -> String {
    "smcard/{cid}/issue".to_owned()
}

fn client_id() -> String {
    "smcardd-{cid}".to_owned()
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

impl Notify {
    /// What is to be told to whom, for a daemon whose card has this identification (hexadecimal). `None` where nobody is
    /// named.
    ///
    /// # Errors
    /// Settings that do not go together, a password that cannot be read.
    pub fn settings(&self, cid: &str) -> Result<Option<TellSettings>, ConfigError> {
        if self.command.is_empty() && self.mqtt.is_none() {
            return Ok(None);
        }
        let outbox = self.outbox.clone().ok_or(ConfigError::Notify("outbox: a folder is wanted".into()))?;
        for (path, what) in [(Some(&outbox), "outbox"), (self.command.first().map(PathBuf::from).as_ref(), "command")] {
            if path.is_some_and(|path| path.is_relative()) {
                return Err(ConfigError::Notify(format!("{what}: a whole path is wanted, from / on")));
            }
        }
        let (program, timeout) = (self.command.clone(), self.command_timeout_s);
        let command = (!program.is_empty()).then_some(CommandSettings { program, timeout });
        let outbox_max = usize::try_from(self.outbox_max).unwrap_or(usize::MAX);
        #[cfg(feature = "mqtt")]
        let mqtt = self.mqtt.as_ref().map(|mqtt| mqtt.settings(cid)).transpose()?;
        #[cfg(not(feature = "mqtt"))]
        if self.mqtt.is_some() {
            let text = format!("mqtt: this smcardd was built without it (feature mqtt), card {cid}");
            return Err(ConfigError::Notify(text));
        }
        Ok(Some(TellSettings {
            outbox,
            outbox_max,
            command,
            #[cfg(feature = "mqtt")]
            mqtt,
        }))
    }
}

#[cfg(feature = "mqtt")]
impl Mqtt {
    fn settings(&self, cid: &str) -> Result<crate::tell::MqttSettings, ConfigError> {
        use crate::tell::mqtt::{MqttSettings, TlsSettings};
        use zeroize::Zeroizing;

        let bad = |text: &str| ConfigError::Notify(format!("mqtt: {text}"));
        let password = |path: &PathBuf| {
            let bytes = crate::secret::read(path).map_err(|error| bad(&format!("password_file {error}")))?;
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = std::str::from_utf8(line).map_err(|_| bad("password_file: is no text"))?;
            Ok::<_, ConfigError>(Zeroizing::new(line.trim_end_matches('\r').to_owned()))
        };
        let login = match (&self.username, &self.password_file) {
            (Some(user), Some(path)) => Some((user.clone(), password(path)?)),
            (Some(user), None) => Some((user.clone(), Zeroizing::default())),
            (None, Some(_)) => return Err(bad("password_file without username")),
            (None, None) => None,
        };
        let identity = |tls: &Tls| match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (None, None) => Ok(None),
            _ => Err(bad("tls: certificate and key go together")),
        };
        let tls = match &self.tls {
            Some(tls) => Some(TlsSettings { ca: tls.ca.clone(), identity: identity(tls)? }),
            None => None,
        };
        if self.topic.is_empty() || self.topic.contains(['+', '#', '\0']) {
            return Err(bad("topic: a name without + and # is wanted"));
        }
        let client_id = self.client_id.replace("{cid}", cid);
        if client_id.is_empty() || client_id.starts_with(' ') {
            return Err(bad("client_id: a name is wanted"));
        }
        let (host, topic, timeout) = (self.host.clone(), self.topic.clone(), self.timeout_s);
        let port = self.port.unwrap_or(if tls.is_some() { 8883 } else { 1883 });
        Ok(MqttSettings { host, port, topic, client_id, login, tls, timeout })
    }
}

#[cfg(all(test, feature = "mqtt"))]
mod tests {
    use super::super::Config;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn settings(text: &str) -> Result<Option<TellSettings>, String> {
        let config = Config::parse(text)?;
        config.notify.settings("00FF").map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_told_unless_named() {
        assert!(settings("").unwrap().is_none());
        assert!(settings("[notify]\noutbox = \"/o\"\n").unwrap().is_none());
    }

    #[test]
    fn what_is_not_said_has_a_sound_default() {
        let all = settings("[notify]\noutbox = \"/o\"\n[notify.mqtt]\nhost = \"broker\"\n").unwrap().unwrap();
        let mqtt = all.mqtt.unwrap();
        assert_eq!(
            (mqtt.port, mqtt.topic.as_str(), mqtt.client_id.as_str()),
            (1883, "smcard/{cid}/issue", "smcardd-00FF")
        );
        assert!(mqtt.login.is_none() && mqtt.tls.is_none() && all.command.is_none());
        let tls = settings("[notify]\noutbox = \"/o\"\n[notify.mqtt]\nhost = \"b\"\n[notify.mqtt.tls]\n");
        assert_eq!(tls.unwrap().unwrap().mqtt.unwrap().port, 8883);
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let mqtt = |text: &str| format!("[notify]\noutbox = \"/o\"\n[notify.mqtt]\nhost = \"b\"\n{text}");
        for (text, words) in [
            ("[notify]\ncommand = [\"/bin/true\"]\n".to_owned(), "[notify] outbox: a folder is wanted"),
            ("[notify]\noutbox = \"o\"\ncommand = [\"/bin/true\"]\n".to_owned(), "outbox: a whole path"),
            ("[notify]\noutbox = \"/o\"\ncommand = [\"true\"]\n".to_owned(), "command: a whole path"),
            (mqtt("password_file = \"/p\"\n"), "without username"),
            (mqtt("username = \"u\"\npassword_file = \"/no/such/file\"\n"), "password_file /no/such/file: "),
            (mqtt("topic = \"a/#\"\n"), "topic"),
            (mqtt("[notify.mqtt.tls]\nkey = \"/k\"\n"), "go together"),
            (mqtt("prot = 1\n"), "line 5"),
        ] {
            let error = settings(&text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_password_is_the_first_line_of_a_file_of_its_owners() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame\nnotes\n").unwrap();
        let path = file.path().display();
        let text = format!(
            "[notify]\noutbox = \"/o\"\n[notify.mqtt]\nhost = \"b\"\nusername = \"u\"\npassword_file = \"{path}\"\n"
        );
        let mode = |mode| std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(settings(&text).unwrap_err().contains("chmod 0600"));
        mode(0o600);
        let mqtt = settings(&text).unwrap().unwrap().mqtt.unwrap();
        assert_eq!(mqtt.login.as_ref().map(|(_, password)| password.as_str()), Some("open sesame"));
        assert!(!format!("{mqtt:?}").contains("sesame"));
    }
}
