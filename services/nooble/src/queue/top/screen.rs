//! The terminal: keys in, frames out, and left as it was found.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::StreamExt as _;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};

use super::sample::{Model, Sample};
use super::{Source, view};

/// Puts the terminal back when it is dropped, however that comes about. A panic restores it by a hook before it says why.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Quit,
    Step { forward: bool },
    Nothing,
}

/// Shows the queues until somebody asks to end.
pub(super) async fn run(source: Source, mut model: Model, interval: Duration) -> Result<()> {
    let restore = Restore;
    let mut terminal = ratatui::try_init()?;
    let ended = watch(&mut terminal, &source, &mut model, interval).await;
    drop(restore);
    ended
}

type Look = Pin<Box<dyn Future<Output = Result<Sample>>>>;

async fn watch(terminal: &mut DefaultTerminal, source: &Source, model: &mut Model, interval: Duration) -> Result<()> {
    let mut keys = EventStream::new();
    let mut clock = tokio::time::interval(interval);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // One look at a time: a server that is slow is not asked more often for it.
    let mut look: Option<Look> = None;
    loop {
        terminal.draw(|frame| {
            let area = frame.area();
            view::draw(model, area, frame.buffer_mut());
        })?;
        tokio::select! {
            event = keys.next() => match event {
                None => return Ok(()),
                Some(event) => match order(&event?) {
                    Order::Quit => return Ok(()),
                    Order::Step { forward } => {
                        model.step(forward);
                        look = Some(begin(source, model));
                    }
                    Order::Nothing => {}
                },
            },
            seen = async { look.as_mut().expect("it is asked for only when there is one").await }, if look.is_some() => {
                look = None;
                match seen {
                    Ok(sample) => model.take(sample),
                    // The screen goes on: what is away now may be back at the next look.
                    Err(error) => model.problem = Some(format!("{error:#}")),
                }
            }
            _ = clock.tick(), if look.is_none() => look = Some(begin(source, model)),
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
        }
    }
}

fn begin(source: &Source, model: &Model) -> Look {
    let (source, selected) = (source.clone(), model.selected.clone());
    Box::pin(async move { source.look(selected).await })
}

/// Reads a key. In the raw mode of the screen Ctrl-C is one, and no signal.
pub(super) fn order(event: &Event) -> Order {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return Order::Nothing;
    };
    match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Order::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Order::Quit,
        KeyCode::Down | KeyCode::Right | KeyCode::Tab => Order::Step { forward: true },
        KeyCode::Up | KeyCode::Left | KeyCode::BackTab => Order::Step { forward: false },
        _ => Order::Nothing,
    }
}
