//! The wire format of protobuf: keys, varints, lengths. It knows nothing about Kubernetes.

use super::Error;

/// How a body in Kubernetes' encoding starts.
pub(crate) const MAGIC: &[u8] = b"k8s\0";

/// The value of a field as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of one message, in their order.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number and the value of the next field; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|&number| number != 0)
            .ok_or_else(|| Error::malformed("a field has an impossible number"))?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            2 => {
                let length = self.varint()?;
                let (value, rest) = usize::try_from(length)
                    .ok()
                    .and_then(|length| self.rest.split_at_checked(length))
                    .ok_or_else(|| {
                        Error::malformed(format!("field {number} is longer than what holds it"))
                    })?;
                self.rest = rest;
                Wire::Bytes(value)
            }
            // Kubernetes has neither floating-point or fixed-size numbers nor groups.
            other => {
                return Err(Error::malformed(format!(
                    "field {number} has wire type {other}, which is not used in this API"
                )));
            }
        };
        Ok(Some((number, value)))
    }

    /// The next number of a packed list; `None` at the end.
    pub(crate) fn packed(&mut self) -> Result<Option<u64>, Error> {
        if self.rest.is_empty() {
            Ok(None)
        } else {
            self.varint().map(Some)
        }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self
                .rest
                .split_first()
                .ok_or_else(|| Error::malformed("a number is cut off"))?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::malformed("a number is longer than 64 bits"))
    }
}
