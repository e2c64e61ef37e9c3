//! What a stream asked for and holds.

use std::cmp::Ordering;
use std::sync::Arc;

use fault::Failure;
use queue::Lent;
use tokio::sync::mpsc;

use super::desk::Desk;
use super::read::{MOST_CREDITS, too_many};

/// One stream at a desk.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: u64,
    /// Actions that it still asks for.
    pub(super) credits: u32,
    /// Actions that it holds.
    pub(super) leased: u32,
    pub(super) to: mpsc::UnboundedSender<Lent>,
}

impl Seat {
    /// Compares how busy two streams are: by the part of what each asked for that it holds, then by what is left to it.
    pub(super) fn load(&self, other: &Self) -> Ordering {
        let part = |one: &Self, other: &Self| u64::from(one.leased) * u64::from(other.leased + other.credits);
        part(self, other).cmp(&part(other, self)).then(other.credits.cmp(&self.credits))
    }
}

/// A seat as its stream holds it. Who drops it leaves.
#[derive(Debug)]
pub(super) struct Seated {
    desk: Arc<Desk>,
    id: u64,
}

impl Seated {
    pub(super) fn new(desk: Arc<Desk>, id: u64) -> Self {
        Self { desk, id }
    }

    /// Asks for more actions.
    pub(super) fn grant(&self, credits: u32) -> Result<(), Failure> {
        let mut seats = self.desk.seats();
        let Some(seat) = seats.iter_mut().find(|seat| seat.id == self.id) else { return Ok(()) };
        if seat.credits.saturating_add(seat.leased).saturating_add(credits) > MOST_CREDITS {
            return Err(too_many());
        }
        seat.credits += credits;
        self.desk.credits().grant(credits);
        Ok(())
    }

    /// Says that one action less is held.
    pub(super) fn done(&self) {
        if let Some(seat) = self.desk.seats().iter_mut().find(|seat| seat.id == self.id) {
            seat.leased = seat.leased.saturating_sub(1);
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.desk.seats();
        if let Some(at) = seats.iter().position(|seat| seat.id == self.id) {
            let seat = seats.remove(at);
            self.desk.credits().revoke(seat.credits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_that_holds_the_smaller_part_of_what_it_asked_for_goes_first() {
        let seat = |leased, credits| Seat { id: 1, credits, leased, to: mpsc::unbounded_channel().0 };
        assert_eq!(seat(0, 2).load(&seat(1, 1)), Ordering::Less);
        assert_eq!(seat(1, 3).load(&seat(3, 5)), Ordering::Less);
        assert_eq!(seat(0, 8).load(&seat(0, 2)), Ordering::Less, "of two that are idle the greater one");
    }
}
