//! Cuts a stream where its contents say so: the same contents give the same chunks, wherever they
//! stand in the stream.
//!
//! A Rabin fingerprint of the last 64 bytes rolls over the stream; a chunk ends where its lowest bits
//! are zero, but not before the smallest and not after the greatest size. With the polynomial of the
//! repository this finds the boundaries that restic finds.

use std::io::{self, Read};

use rustic_cdc::{Polynom, Rabin64};
use rustic_core::repofile::ConfigFile;

/// Bytes that the fingerprint covers.
const WINDOW: usize = 64;
/// Bytes read at a time, once a chunk has its smallest size.
const READ: u64 = 128 << 10;

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
        Self {
            source,
            sizes,
            outgoing: Box::new(Rabin64::calculate_out_table(WINDOW, &polynomial)),
            modulo: Box::new(Rabin64::calculate_mod_table(&polynomial)),
            shift: polynomial.degree().saturating_sub(8).max(0) as u32,
            rest: Vec::new(),
            finished: false,
        }
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
        let mut hash = self.fingerprint(&chunk[self.sizes.min - WINDOW..self.sizes.min]);
        let mut end = self.sizes.min;
        loop {
            if let Some(cut) = self.find_end(&chunk, &mut hash, &mut end) {
                self.rest = chunk[cut..].to_vec();
                chunk.truncate(cut);
                return Ok(Some(chunk));
            }
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

    /// Rolls on from `end`, whose fingerprint is `hash`, and returns where the chunk ends, if it does.
    fn find_end(&self, chunk: &[u8], hash: &mut u64, end: &mut usize) -> Option<usize> {
        if *hash & self.sizes.mask == 0 || *end >= self.sizes.max {
            return Some(*end);
        }
        let limit = chunk.len().min(self.sizes.max);
        let mut rolling = *hash;
        let leaving = &chunk[*end - WINDOW..limit - WINDOW];
        let entering = &chunk[*end..limit];
        for (position, (&out, &byte)) in leaving.iter().zip(entering).enumerate() {
            rolling ^= self.outgoing[usize::from(out)];
            rolling = self.slide(rolling, byte);
            if rolling & self.sizes.mask == 0 {
                return Some(*end + position + 1);
            }
        }
        *hash = rolling;
        *end = limit;
        (limit >= self.sizes.max).then_some(limit)
    }

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
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

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
        let sizes = Sizes {
            min: 1 << 10,
            max: 1 << 14,
            mask: (1 << 12) - 1,
        };
        let mut bytes = random(300_000);
        bytes[100_000..150_000].fill(0);
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
