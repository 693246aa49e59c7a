//! The self-issue against the same commands one by one, and single calls, through a mounted card.

use crate::issue::{WAYS, Way, wallet};
use crate::pin::Pinned;
use crate::table::Table;
use crate::terminal::{delete_data, select_manager, succeeded};
use crate::timing::{Samples, interleave, show, timed};
use anyhow::{Context, Result, ensure};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_fixtures as fixtures;
use smcard_ioctl::{Client, Outcome, Selector, StartRequest, Ticket};
use smcard_link::Answer;
use smcard_tests::{Mounted, Setup};
use std::fs;
use std::time::Duration;

const NAME: &str = "wallet.batch";
const LIMIT: Duration = Duration::from_secs(30);

/// A terminal program at the control file that talks with the card manager itself.
pub(crate) struct Dialogue {
    client: Client,
    session: HostSession,
}

impl Dialogue {
    /// Opens a secure channel of a level.
    pub(crate) fn open(card: &Mounted, level: SecurityLevel) -> Result<Self> {
        let client = Client::open(&card.path("control"))?;
        transmit(&client, &select_manager())?;
        let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
        let answer = transmit(&client, &command)?;
        let (session, command) = handshake.finish(&StaticKeys::test(), level, &answer.data)?;
        transmit(&client, &command)?;
        Ok(Dialogue { client, session })
    }

    /// Sends one command; it must succeed.
    pub(crate) fn send(&mut self, command: &CommandApdu<'_>) -> Result<Answer> {
        let wrapped = self.session.wrap(command)?;
        let answer = transmit(&self.client, &wrapped)?;
        succeeded(self.session.unwrap(answer)?)
    }
}

fn transmit(client: &Client, command: &[u8]) -> Result<Answer> {
    let outcome = ended(client, client.transmit(command)?)?;
    succeeded(Answer::from_bytes(outcome.response.as_bytes()).context("no response")?)
}

fn ended(client: &Client, ticket: Ticket) -> Result<Outcome> {
    let outcome = client.wait(ticket, Some(LIMIT))?;
    ensure!(outcome.is_done(), "{outcome:?}");
    Ok(outcome)
}

/// Lets the card issue itself from a file of the drop box.
pub(crate) fn start(client: &Client, name: &str) -> Result<Outcome> {
    let request = StartRequest { selector: Selector::Name(name.into()), ..StartRequest::default() };
    ended(client, client.start(&request)?)
}

/// Deletes a package with all its instances.
pub(crate) fn delete(card: &Mounted, package: &[u8]) -> Result<()> {
    let data = delete_data(package)?;
    Dialogue::open(card, SecurityLevel::C_MAC)?.send(&CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &data))?;
    Ok(())
}

/// Times all ways with everything on one core, and as the scheduler likes it.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let file = wallet()?;
    let about = "The same 60 KiB application through a mounted card: `write` into `issue/` and START against one TRANSMIT \
                 for each command, all with the client library (submit, poll, fetch). Durable when it answers. \
                 Authentication is not timed. On one core: client and daemon share it.";
    let heads = ["issue, mounted", "exchanges", "median", "min", "× self-issue", "median, any core", "×"];
    let mut table = Table::new("Issue of 60 KiB through the file system", about, &heads);
    let (exchanges, pinned) = {
        let _pinned = Pinned::to_one_core()?;
        measure(&file, rounds)?
    };
    let (_, free) = measure(&file, rounds)?;
    for (n, way) in WAYS.iter().enumerate() {
        table.row([
            way.name(),
            exchanges[n].to_string(),
            show(pinned[n].median()),
            show(pinned[n].min()),
            format!("{:.2}", pinned[n].over(&pinned[0])),
            show(free[n].median()),
            format!("{:.2}", free[n].over(&free[0])),
        ]);
    }
    table.at_least("level 33 one by one over self-issue, one core", pinned[4].over(&pinned[0]), 10.0, " times");
    table.at_least("level 33 one by one over self-issue, any core", free[4].over(&free[0]), 10.0, " times");
    Ok(table)
}

fn measure(file: &[u8], rounds: usize) -> Result<(Vec<u64>, Vec<Samples>)> {
    let batch = Batch::parse(file)?;
    let card = Setup::new().size("32M").mount();
    let path = card.path("issue").join(NAME);
    let client = Client::open(&card.path("control"))?;
    let mut exchanges = vec![0; WAYS.len()];
    let samples = interleave(rounds, &WAYS, |way| {
        // A first open file makes the daemon authenticate.
        fs::write(&path, [])?;
        fs::remove_file(&path)?;
        let upload = || fs::write(&path, file);
        let issue = || start(&client, NAME).map(drop);
        let (before, time) = match way {
            Way::WriteAndStart => {
                let before = client.status()?.exchanges;
                let (done, time) = timed(|| upload().map_err(Into::into).and_then(|()| issue()));
                done?;
                (before, time)
            }
            Way::Start => {
                upload()?;
                let before = client.status()?.exchanges;
                let (done, time) = timed(issue);
                done?;
                (before, time)
            }
            Way::OneByOne(level) => {
                let mut dialogue = Dialogue::open(&card, *level)?;
                let before = client.status()?.exchanges;
                let (done, time) =
                    timed(|| batch.commands().try_for_each(|command| dialogue.send(&command.apdu).map(drop)));
                done?;
                (before, time)
            }
        };
        if let Some(index) = WAYS.iter().position(|known| known == way) {
            exchanges[index] = client.status()?.exchanges - before;
        }
        delete(&card, fixtures::aid::WALLET_PACKAGE)?;
        if path.exists() {
            fs::remove_file(&path)?;
        }
        Ok(time)
    })?;
    Ok((exchanges, samples))
}

/// Times single calls at the control file.
pub(crate) fn calls(rounds: usize) -> Result<Table> {
    let heads = ["call", "median", "min", "median, any core"];
    let about = "One call of a client at the control file. STATUS is one ioctl, answered by the daemon; TRANSMIT of a SELECT \
                 goes to the card and back: submit, poll, fetch.";
    let mut table = Table::new("Round trips", about, &heads);
    let pinned = {
        let _pinned = Pinned::to_one_core()?;
        time_calls(rounds)?
    };
    let free = time_calls(rounds)?;
    for (name, (pinned, free)) in ["ioctl STATUS", "TRANSMIT of SELECT"].into_iter().zip(pinned.iter().zip(&free)) {
        table.row([name.to_owned(), show(pinned.median()), show(pinned.min()), show(free.median())]);
    }
    table.at_most("ioctl STATUS on one core", pinned[0].median().as_secs_f64() * 1e6, 12.0, " µs");
    Ok(table)
}

fn time_calls(rounds: usize) -> Result<[Samples; 2]> {
    /// Calls of each kind in a round.
    const CALLS: [usize; 2] = [500, 50];
    let card = Setup::new().mount();
    let client = Client::open(&card.path("control"))?;
    let mut samples = [Samples::default(), Samples::default()];
    for _ in 0..rounds {
        for _ in 0..CALLS[0] {
            let (status, time) = timed(|| client.status());
            status?;
            samples[0].push(time);
        }
        for _ in 0..CALLS[1] {
            let (answer, time) = timed(|| transmit(&client, &select_manager()));
            answer?;
            samples[1].push(time);
        }
    }
    Ok(samples)
}
