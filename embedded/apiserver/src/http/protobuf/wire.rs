//! The wire format of protobuf: tags, varints and length-delimited fields.

/// A field as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The bytes are not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to decode protobuf: the body ends within a field or has an unknown wire type")]
pub(in crate::http) struct Malformed;

/// The fields of a message: number and content, in the order of the wire.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>), Malformed> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(
                self.take(8)?.try_into().map_err(|_| Malformed)?,
            )),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(
                self.take(4)?.try_into().map_err(|_| Malformed)?,
            )),
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_broken_ones_refused() {
        let read = |bytes: &'static [u8]| Fields::of(bytes).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&[0x08, 0x96, 0x01]), Ok(vec![(1, Wire::Varint(150))]));
        assert_eq!(
            read(&[0x12, 0x02, b'h', b'i']),
            Ok(vec![(2, Wire::Bytes(b"hi"))])
        );
        assert_eq!(read(&[0x0d, 1, 0, 0, 0]), Ok(vec![(1, Wire::Fixed32(1))]));
        assert_eq!(read(&[0x12, 0x03, b'h', b'i']), Err(Malformed));
        assert_eq!(read(&[0x08, 0x80]), Err(Malformed));
        assert_eq!(read(&[0x0b]), Err(Malformed));
        assert_eq!(read(&[0xff; 11]), Err(Malformed));
    }
}
