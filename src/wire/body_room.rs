use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// What the bodies of all requests that are being served may take in memory, decompressed.
///
/// Each body has a limit of its own, but nothing limits how many requests come at once; what they are turned into takes
/// memory in proportion. So a body that finds no room is refused at once (our decision). Refused: waiting for room, as
/// requests that hold a part of it each would wait for one another.
#[derive(Clone, Debug)]
pub struct BodyRoom(Arc<Semaphore>);

/// What one request has of the room, until its last clone is dropped.
#[derive(Clone, Debug)]
pub struct BodyShare {
    room: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl BodyRoom {
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Nothing yet, for one request.
    #[must_use]
    pub fn share(&self) -> BodyShare {
        BodyShare { room: self.0.clone(), held: Arc::default() }
    }
}

impl BodyShare {
    /// Has so many bytes at least; 429 where others have too many. Who reads a body again has its room already.
    pub fn grow_to(&self, bytes: usize) -> Result<(), ApiError> {
        let mut held = self.held.lock().expect("no thread panics while it holds the share");
        let missing = bytes.saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let missing = u32::try_from(missing).expect("bodies are smaller than 4 GB");
        let more = self.room.clone().try_acquire_many_owned(missing).map_err(|_| ApiError::Overloaded)?;
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_room_and_come_back() {
        let room = BodyRoom::new(100);
        let (one, other) = (room.share(), room.share());
        one.grow_to(60).expect("room");
        one.grow_to(40).expect("it has that already");
        one.clone().grow_to(70).expect("10 more");
        assert!(other.grow_to(31).is_err());
        other.grow_to(30).expect("the rest");
        assert!(other.grow_to(31).is_err());
        drop(one);
        other.grow_to(100).expect("all of it");
        drop(other);
        assert_eq!(room.0.available_permits(), 100);
    }
}
