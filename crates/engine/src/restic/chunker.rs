//! Cuts a stream where its contents say so: the same contents give the same chunks, wherever they
//! stand in the stream.
//!
//! A Rabin fingerprint of the last 64 bytes rolls over the stream; a chunk ends where its lowest
//! bits are zero, but not before the smallest and not after the greatest size. With the polynomial
//! of the repository this finds the boundaries that restic finds.
//!
//! One step of the fingerprint has to wait for the one before. As a fingerprint depends on its 64
//! bytes only, a piece of the stream is looked at in several places at once ([`LANES`]), which
//! costs little more than looking at one.

use std::io::{self, Read};

use rustic_cdc::{Polynom, Rabin64};
use rustic_core::repofile::ConfigFile;

/// Bytes that the fingerprint covers.
const WINDOW: usize = 64;
/// Bytes read at a time, once a chunk has its smallest size.
const READ: u64 = 128 << 10;
/// Places looked at at once.
const LANES: usize = 4;
/// Shorter pieces are looked at from one place.
const SHORTEST_LANE: usize = 1024;

/// Where chunks may end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    min: usize,
    max: usize,
    mask: u64,
}

impl Sizes {
    /// What the repository's configuration says.
    pub(super) fn of(config: &ConfigFile) -> Self {
        let average = config.chunk_size().next_power_of_two() as u64;
        let min = config.chunk_min_size().max(WINDOW);
        Self {
            min,
            max: config.chunk_max_size().max(min),
            mask: average - 1,
        }
    }
}

/// The chunks of a stream.
pub(super) struct Chunker<R> {
    source: R,
    sizes: Sizes,
    outgoing: Box<[u64; 256]>,
    modulo: Box<[u64; 256]>,
    shift: u32,
    /// Bytes that were read beyond the end of the last chunk.
    rest: Vec<u8>,
    finished: bool,
}

impl<R: Read> Chunker<R> {
    /// Chunks of `source`, cut with this polynomial.
    pub(super) fn new(source: R, polynomial: u64, sizes: Sizes) -> Self {
        let mut chunker = Self {
            source,
            sizes,
            outgoing: Box::new(Rabin64::calculate_out_table(WINDOW, &polynomial)),
            modulo: Box::new(Rabin64::calculate_mod_table(&polynomial)),
            shift: polynomial.degree().saturating_sub(8).max(0) as u32,
            rest: Vec::new(),
            finished: false,
        };
        // What a leaving byte adds to the fingerprint, one step later.
        let outgoing = chunker.outgoing.map(|added| chunker.slide(added, 0));
        *chunker.outgoing = outgoing;
        chunker
    }

    /// The next chunk, `None` at the end. After an error the stream is over.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.finished {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.rest);
        let missing = self.sizes.min.saturating_sub(chunk.len());
        chunk.reserve(missing + READ as usize);
        if self.read(missing as u64, &mut chunk)? < missing {
            self.finished = true;
            return Ok((!chunk.is_empty()).then_some(chunk));
        }
        let mut from = self.sizes.min;
        loop {
            let to = chunk.len().min(self.sizes.max);
            let cut = self
                .find_end(&chunk, from, to)
                .or((to >= self.sizes.max).then_some(to));
            if let Some(cut) = cut {
                self.rest = chunk[cut..].to_vec();
                chunk.truncate(cut);
                return Ok(Some(chunk));
            }
            from = to + 1;
            if self.read(READ, &mut chunk)? == 0 {
                self.finished = true;
                return Ok(Some(chunk));
            }
        }
    }

    /// Appends up to `length` bytes; fewer only at the end of the stream.
    fn read(&mut self, length: u64, chunk: &mut Vec<u8>) -> io::Result<usize> {
        self.source
            .by_ref()
            .take(length)
            .read_to_end(chunk)
            .inspect_err(|_| self.finished = true)
    }

    /// The first of the positions `from..=to` where a chunk may end.
    fn find_end(&self, chunk: &[u8], from: usize, to: usize) -> Option<usize> {
        let count = (to + 1).saturating_sub(from);
        let lane = count / LANES;
        if lane < SHORTEST_LANE {
            return self.scan(chunk, from, to);
        }
        let starts: [usize; LANES] = std::array::from_fn(|number| from + number * lane);
        let mut hashes = starts.map(|start| self.fingerprint(&chunk[start - WINDOW..start]));
        // The first end in each lane; only that of the first lane that has one counts.
        let mut ends = [None; LANES];
        let leaving = starts.map(|start| &chunk[start - WINDOW..][..lane - 1]);
        let entering = starts.map(|start| &chunk[start..][..lane - 1]);
        for step in 0..lane {
            // Without a branch for each lane: hits are rare.
            let hit = |hit, hash| hit | (hash & self.sizes.mask == 0);
            if hashes.into_iter().fold(false, hit) {
                for number in 0..LANES {
                    if hashes[number] & self.sizes.mask == 0 {
                        ends[number].get_or_insert(starts[number] + step);
                    }
                }
                if ends[0].is_some() {
                    return ends[0];
                }
            }
            if step + 1 < lane {
                for number in 0..LANES {
                    hashes[number] = self.roll(
                        hashes[number],
                        leaving[number][step],
                        entering[number][step],
                    );
                }
            }
        }
        ends.into_iter()
            .flatten()
            .next()
            .or_else(|| self.scan(chunk, from + LANES * lane, to))
    }

    /// The same, position by position.
    fn scan(&self, chunk: &[u8], from: usize, to: usize) -> Option<usize> {
        if from > to {
            return None;
        }
        let mut hash = self.fingerprint(&chunk[from - WINDOW..from]);
        if hash & self.sizes.mask == 0 {
            return Some(from);
        }
        let leaving = &chunk[from - WINDOW..to - WINDOW];
        let entering = &chunk[from..to];
        for (position, (&out, &byte)) in leaving.iter().zip(entering).enumerate() {
            hash = self.roll(hash, out, byte);
            if hash & self.sizes.mask == 0 {
                return Some(from + position + 1);
            }
        }
        None
    }

    /// The fingerprint one byte further.
    #[inline(always)]
    fn roll(&self, hash: u64, out: u8, byte: u8) -> u64 {
        // The fingerprint is linear, so what leaves may be taken away after the step as well, where
        // the next step does not have to wait for it.
        self.slide(hash, byte) ^ self.outgoing[usize::from(out)]
    }

    #[inline(always)]
    fn slide(&self, hash: u64, byte: u8) -> u64 {
        let index = (hash >> self.shift) as u8;
        (hash << 8 | u64::from(byte)) ^ self.modulo[usize::from(index)]
    }

    fn fingerprint(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |hash, &byte| self.slide(hash, byte))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Polynomial of restic's own chunker tests.
    const POLYNOMIAL: u64 = 0x3D_A335_8B4D_C173;

    fn sizes() -> Sizes {
        Sizes::of(&ConfigFile::default())
    }

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(23).fill(&mut bytes[..]);
        bytes
    }

    fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunker = Chunker::new(bytes, POLYNOMIAL, sizes());
        std::iter::from_fn(|| chunker.next().unwrap()).collect()
    }

    /// The definition, without any of the speed: boundaries by the fingerprint of each window.
    fn slow_ends(bytes: &[u8], sizes: Sizes) -> Vec<usize> {
        let remainder = |window: &[u8]| {
            window.iter().fold(0_u64, |hash, &byte| {
                (0..8).rev().fold(hash, |hash, bit| {
                    let shifted = hash << 1 | u64::from(byte >> bit & 1);
                    if shifted >> 53 & 1 == 1 {
                        shifted ^ POLYNOMIAL
                    } else {
                        shifted
                    }
                })
            })
        };
        let (mut ends, mut start) = (Vec::new(), 0);
        for end in 1..=bytes.len() {
            let length = end - start;
            let boundary = length >= sizes.min
                && (length >= sizes.max || remainder(&bytes[end - WINDOW..end]) & sizes.mask == 0);
            if boundary || end == bytes.len() {
                ends.push(end);
                start = end;
            }
        }
        ends
    }

    #[test]
    fn boundaries_follow_the_definition() {
        // Small chunks are scanned, big ones looked at from several places.
        for (min, max, bits) in [
            (1 << 10, 1 << 12, 10),
            (64, 1 << 13, 12),
            (1 << 13, 1 << 16, 14),
        ] {
            let mask = (1 << bits) - 1;
            boundaries_are_exact(Sizes { min, max, mask });
        }
    }

    fn boundaries_are_exact(sizes: Sizes) {
        let mut bytes = random(150_000);
        bytes[100_000..120_000].fill(0);
        let mut chunker = Chunker::new(bytes.as_slice(), POLYNOMIAL, sizes);
        let (mut ends, mut position) = (Vec::new(), 0);
        while let Some(chunk) = chunker.next().unwrap() {
            position += chunk.len();
            ends.push(position);
        }
        assert_eq!(ends, slow_ends(&bytes, sizes));
    }

    #[test]
    fn chunks_put_together_are_the_stream_and_keep_their_sizes() {
        for length in [
            0,
            1,
            63,
            64,
            (512 << 10) - 1,
            512 << 10,
            (512 << 10) + 1,
            20_000_000,
        ] {
            let bytes = random(length);
            let chunks = cut(&bytes);
            assert!(chunks.concat() == bytes, "{length}");
            assert_eq!(chunks.is_empty(), length == 0);
            for chunk in chunks.iter().rev().skip(1) {
                assert!(
                    (512 << 10..=8 << 20).contains(&chunk.len()),
                    "{}",
                    chunk.len()
                );
            }
        }
    }

    #[test]
    fn an_insertion_changes_only_the_chunks_around_it() {
        let bytes = random(20_000_000);
        let mut changed = bytes.clone();
        changed.splice(5_000_000..5_000_000, *b"a new row");
        let before = cut(&bytes);
        let after = cut(&changed);
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!(new <= 2, "{new} new chunks of {}", after.len());
    }

    #[test]
    fn boundaries_do_not_depend_on_how_the_stream_arrives() {
        struct Trickle<'a>(&'a [u8]);
        impl Read for Trickle<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = buffer.len().min(self.0.len()).min(4093);
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let bytes = random(5_000_000);
        let mut chunker = Chunker::new(Trickle(&bytes), POLYNOMIAL, sizes());
        let chunks: Vec<_> = std::iter::from_fn(|| chunker.next().unwrap()).collect();
        assert!(chunks == cut(&bytes));
    }

    #[test]
    fn a_failing_stream_gives_an_error_and_no_further_chunk() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("dump died"))
            }
        }
        let bytes = random(700_000);
        let mut chunker = Chunker::new(bytes.as_slice().chain(Broken), POLYNOMIAL, sizes());
        let error = std::iter::from_fn(|| chunker.next().transpose()).find_map(Result::err);
        assert_eq!(error.unwrap().to_string(), "dump died");
        assert!(chunker.next().unwrap().is_none());
    }
}
