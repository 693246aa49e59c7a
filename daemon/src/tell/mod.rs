//! Results told onwards (system S5.2): to a command and to an MQTT broker.
//!
//! ```text
//!  end of an issue ──► outbox/command/ ──► the configured command
//!                 └──► outbox/mqtt/    ──► the broker
//! ```
//!
//! A result is one file in the [`outbox`] from the moment the issue has ended until whoever it is for has taken it: a
//! result made out of coverage, or shortly before the power of the host went, is told later. It may be told twice, where
//! the taking itself was lost; the identifier of the issue is unique, so a consumer that removes duplicates sees each
//! once. Off unless configured. Each receiver has a thread of its own; nobody waits for them.

pub mod command;
mod courier;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod outbox;
pub mod report;
#[cfg(feature = "mqtt-tls")]
mod tls;

pub use command::CommandSettings;
pub use courier::{Courier, Pace};
#[cfg(feature = "mqtt")]
pub use mqtt::MqttSettings;
pub use outbox::{Entry, Outbox, OutboxError};
pub use report::Report;

use courier::Delivery;
use std::path::PathBuf;
use thiserror::Error;

/// Who is told, and where results wait for it.
#[derive(Clone, Debug, Default)]
pub struct TellSettings {
    /// The outbox.
    pub outbox: PathBuf,
    /// Most results that wait for one receiver; beyond, the oldest is lost.
    pub outbox_max: usize,
    /// A command.
    pub command: Option<CommandSettings>,
    /// A broker.
    #[cfg(feature = "mqtt")]
    pub mqtt: Option<MqttSettings>,
}

/// Why nothing can be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TellError {
    /// The outbox.
    #[error("[notify] {0}")]
    Outbox(#[from] OutboxError),
    /// The broker's settings.
    #[cfg(feature = "mqtt")]
    #[error("[notify.mqtt] {0}")]
    Mqtt(#[from] mqtt::MqttError),
    /// No thread.
    #[error("[notify] starting a thread: {0}")]
    Thread(std::io::Error),
}

/// Tells results. Dropping it breaks off what is being told; it stays in the outbox.
#[derive(Debug)]
pub struct Teller {
    outbox: Outbox,
    deliveries: Vec<Delivery>,
}

impl Teller {
    /// Opens the outbox and begins to tell what waits in it.
    ///
    /// # Errors
    /// The outbox cannot be used, or a receiver's settings make no sense.
    pub fn new(settings: TellSettings, pace: Pace) -> Result<Self, TellError> {
        let outbox = Outbox::new(settings.outbox, settings.outbox_max);
        let mut deliveries = Vec::new();
        if let Some(command) = settings.command {
            deliveries.push(Delivery::begin(outbox.folder("command")?, Box::new(command::Runner::new(command)), pace)?);
        }
        #[cfg(feature = "mqtt")]
        if let Some(settings) = settings.mqtt {
            let courier = Box::new(mqtt::Publisher::new(settings)?);
            deliveries.push(Delivery::begin(outbox.folder("mqtt")?, courier, pace)?);
        }
        Ok(Teller { outbox, deliveries })
    }

    /// Keeps a result and has it told. Afterwards it survives the end of the daemon and of the host's power.
    ///
    /// # Errors
    /// It cannot be kept; then it is not told.
    pub fn tell(&self, report: &Report) -> Result<String, TellError> {
        let number = self.outbox.number(&report.cid)?;
        let id = report.id(number);
        let text = report.json(number);
        for delivery in &self.deliveries {
            delivery.folder().put(&report.cid, number, text.as_bytes())?;
            delivery.wake();
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
