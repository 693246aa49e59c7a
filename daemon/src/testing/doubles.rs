//! Cards for unit tests: one that answers from a script, one that fails where a test wants it.

use smcard_card::EmulatedCard;
use smcard_link::{
    Answer, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, PrivilegeKind, SecureCard, WriteId,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a scripted card was sent.
pub(crate) type Sent = Arc<Mutex<Vec<Vec<u8>>>>;
type Script = Box<dyn FnMut(&[u8]) -> Result<Answer, LinkError> + Send>;

/// A card that answers commands from a script and takes no files.
pub(crate) struct Scripted {
    pub(crate) properties: CardProperties,
    pub(crate) sent: Sent,
    script: Script,
    counters: Counters,
    power: Option<Arc<dyn PowerSwitch>>,
}

/// What a scripted card notes as sent when its power goes off and on; the script answers that as well.
pub(crate) const POWER: [u8; 4] = [0x00, 0xFF, 0x00, 0x00];

impl Scripted {
    pub(crate) fn new(script: impl FnMut(&[u8]) -> Result<Answer, LinkError> + Send + 'static) -> Self {
        let (properties, sent, counters) = (CardProperties::default(), Sent::default(), Counters::default());
        Scripted { properties, sent, script: Box::new(script), counters, power: None }
    }

    pub(crate) fn with_power(mut self, power: Arc<dyn PowerSwitch>) -> Self {
        self.power = Some(power);
        self
    }

    pub(crate) fn holding(mut self) -> Self {
        self.properties.privilege = PrivilegeKind::Hold;
        self
    }
}

impl SecureCard for Scripted {
    fn properties(&self) -> &CardProperties {
        &self.properties
    }
    fn status(&self) -> LinkStatus {
        LinkStatus::Ready
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.counters.exchanges += 1;
        self.sent.lock().unwrap().push(command.to_vec());
        (self.script)(command)
    }
    fn write_open(&mut self, _: &[u8], _: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        Ok(Err(Answer::status(0x6982)))
    }
    fn write_chunk(&mut self, _: WriteId, _: &[u8]) -> Result<(), LinkError> {
        Err(LinkError::Write("not open"))
    }
    fn write_commit(&mut self, _: WriteId) -> Result<Answer, LinkError> {
        Err(LinkError::Write("not open"))
    }
    fn write_abort(&mut self, _: WriteId) {}
    fn reset(&mut self) -> Result<(), LinkError> {
        self.sent.lock().unwrap().push(POWER.to_vec());
        (self.script)(&POWER).map(drop)
    }
    fn counters(&self) -> Counters {
        self.counters
    }
    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        self.power.clone()
    }
}

/// Failures that the next exchanges meet, in order; `None` lets one pass.
pub(crate) type Failures = Arc<Mutex<VecDeque<Option<LinkError>>>>;

/// A card whose link fails where a test wants it to.
pub(crate) struct Failing {
    pub(crate) card: EmulatedCard,
    pub(crate) failures: Failures,
}

impl Failing {
    fn meet(&self) -> Result<(), LinkError> {
        self.failures.lock().unwrap().pop_front().flatten().map_or(Ok(()), Err)
    }
}

impl SecureCard for Failing {
    fn properties(&self) -> &CardProperties {
        self.card.properties()
    }
    fn status(&self) -> LinkStatus {
        self.card.status()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.meet()?;
        self.card.transmit(command)
    }
    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        self.meet()?;
        self.card.write_open(name, length)
    }
    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.meet()?;
        self.card.write_chunk(id, chunk)
    }
    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        self.meet()?;
        self.card.write_commit(id)
    }
    fn write_abort(&mut self, id: WriteId) {
        self.card.write_abort(id);
    }
    fn reset(&mut self) -> Result<(), LinkError> {
        self.meet()?;
        self.card.reset()
    }
    fn counters(&self) -> Counters {
        self.card.counters()
    }
    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        self.card.power_switch()
    }
}
