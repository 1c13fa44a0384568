//! Leaving out the first line of an output.

use bytes::{Buf, Bytes, BytesMut};

use super::Filter;

/// Holds back the first line until it is known whether it is to be left out.
pub(crate) struct FirstLine {
    skip: fn(&[u8]) -> bool,
    held: Option<BytesMut>,
}

impl FirstLine {
    /// A longer first line is none that anybody wants to leave out.
    const LONGEST: usize = 1024;

    /// Leaves out a first line for which `skip` says so.
    pub(crate) fn new(skip: fn(&[u8]) -> bool) -> Self {
        Self {
            skip,
            held: Some(BytesMut::new()),
        }
    }
}

impl Filter for FirstLine {
    fn pass(&mut self, data: BytesMut) -> Bytes {
        let Some(mut held) = self.held.take() else {
            return data.freeze();
        };
        held.extend_from_slice(&data);
        match held.iter().position(|byte| *byte == b'\n') {
            Some(end) if (self.skip)(&held[..end]) => {
                held.advance(end + 1);
                held.freeze()
            }
            None if held.len() < Self::LONGEST => {
                self.held = Some(held);
                Bytes::new()
            }
            _ => held.freeze(),
        }
    }

    fn end(&mut self) -> Bytes {
        match self.held.take() {
            Some(held) if !(self.skip)(&held) => held.freeze(),
            _ => Bytes::new(),
        }
    }
}
