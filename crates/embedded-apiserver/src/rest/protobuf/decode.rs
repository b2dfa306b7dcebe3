//! From the bytes of a message to JSON, by the message's table.
//!
//! The depth of the recursion is that of the tables, which have no cycles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Error;
use super::field::{Field, Kind, Message, Shape};
use super::wire::{Reader, Wire};
use crate::rest::format_time;

type Object = Map<String, Value>;

/// Adds the fields of a message to an object.
pub(crate) fn message(
    message: &'static Message,
    bytes: &[u8],
    object: &mut Object,
) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        let field = message
            .fields
            .iter()
            .find(|field| field.number == number)
            .ok_or_else(|| unknown(number, wire, message.name))?;
        add(field, wire, object).map_err(|error| match field.shape {
            Shape::Inline => error,
            _ => error.under(field.name),
        })?;
    }
    Ok(())
}

/// A field that no table has.
pub(crate) fn unknown(number: u32, wire: Wire<'_>, message: &str) -> Error {
    let what = match wire {
        Wire::Varint(value) => format!("number {value}"),
        Wire::Bytes(bytes) => format!("{} bytes", bytes.len()),
    };
    Error::malformed(format!("unknown field {number} of {message} ({what})"))
}

fn add(field: &Field, wire: Wire<'_>, object: &mut Object) -> Result<(), Error> {
    match field.shape {
        Shape::Inline => match field.kind {
            Kind::Nested(inner) => message(inner, bytes(wire)?, object),
            _ => Err(Error::malformed("only messages can be inlined")),
        },
        Shape::List => {
            let list = object
                .entry(field.name)
                .or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else {
                return Err(Error::malformed("there is a list and a single value"));
            };
            add_item(field.kind, wire, list)
        }
        Shape::Map => {
            let map = object
                .entry(field.name)
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = map else {
                return Err(Error::malformed("there is a map and a single value"));
            };
            add_entry(field.kind, bytes(wire)?, map)
        }
        Shape::Always | Shape::Omitted | Shape::Optional => {
            let Some(value) = decoded(field.kind, wire)? else {
                return Ok(());
            };
            if field.shape == Shape::Omitted && is_zero(&value) {
                return Ok(());
            }
            // The last one would win; no encoder writes two, so there is nobody to please.
            if object.insert(field.name.to_owned(), value).is_some() {
                return Err(Error::malformed("the field is there twice"));
            }
            Ok(())
        }
    }
}

fn add_item(kind: Kind, wire: Wire<'_>, list: &mut Vec<Value>) -> Result<(), Error> {
    // Lists of numbers may be packed into one value.
    if let (Kind::Bool | Kind::Int32 | Kind::Int64, Wire::Bytes(packed)) = (kind, wire) {
        let mut reader = Reader::new(packed);
        while let Some(number) = reader.packed()? {
            list.extend(decoded(kind, Wire::Varint(number))?);
        }
        return Ok(());
    }
    let index = list.len();
    let value = decoded(kind, wire).map_err(|error| error.under(&format!("[{index}]")))?;
    // An item that is absent in JSON terms (a zero time) still has its place.
    list.push(value.unwrap_or_default());
    Ok(())
}

/// An entry of a map is a message: 1 is the key, 2 the value; zero values may be left out.
fn add_entry(kind: Kind, entry: &[u8], map: &mut Object) -> Result<(), Error> {
    let (mut key, mut value) = ("", None);
    let mut reader = Reader::new(entry);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = text(bytes(wire)?)?,
            2 => value = Some(wire),
            _ => return Err(unknown(number, wire, "a map's entry")),
        }
    }
    let wire = value.unwrap_or(match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 => Wire::Varint(0),
        _ => Wire::Bytes(&[]),
    });
    let value = decoded(kind, wire).map_err(|error| error.under(&format!("[{key:?}]")))?;
    if map
        .insert(key.to_owned(), value.unwrap_or_default())
        .is_some()
    {
        return Err(Error::malformed(format!("the key {key:?} is there twice")));
    }
    Ok(())
}

/// One value; `None` for a time that is not set.
fn decoded(kind: Kind, wire: Wire<'_>) -> Result<Option<Value>, Error> {
    Ok(Some(match kind {
        Kind::Text => text(bytes(wire)?)?.into(),
        Kind::Bool => (number(wire)? != 0).into(),
        Kind::Int32 => i32::try_from(number(wire)?)
            .map_err(|_| Error::malformed("the number is not one of 32 bits"))?
            .into(),
        Kind::Int64 => number(wire)?.into(),
        Kind::Bytes => STANDARD.encode(bytes(wire)?).into(),
        Kind::Time => return time(bytes(wire)?),
        Kind::Quantity => quantity(bytes(wire)?)?,
        Kind::IntOrString => int_or_string(bytes(wire)?)?,
        Kind::Json => json(bytes(wire)?)?,
        Kind::Nested(inner) => {
            let mut object = Map::new();
            message(inner, bytes(wire)?, &mut object)?;
            Value::Object(object)
        }
    }))
}

fn bytes(wire: Wire<'_>) -> Result<&[u8], Error> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        Wire::Varint(_) => Err(Error::malformed("a number where text or a message belongs")),
    }
}

/// Negative numbers are 64 bits in two's complement.
fn number(wire: Wire<'_>) -> Result<i64, Error> {
    match wire {
        Wire::Varint(value) => Ok(value.cast_signed()),
        Wire::Bytes(_) => Err(Error::malformed("text or a message where a number belongs")),
    }
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::malformed("the text is not UTF-8"))
}

/// Kubernetes writes nothing for a time that is not set, and ignores the nanoseconds.
fn time(bytes: &[u8]) -> Result<Option<Value>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut seconds = 0;
    let mut reader = Reader::new(bytes);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => seconds = number(wire)?,
            2 => _ = number(wire)?,
            _ => return Err(unknown(field, wire, "Time")),
        }
    }
    let time = Timestamp::from_second(seconds)
        .map_err(|_| Error::malformed(format!("{seconds} seconds is not a time")))?;
    Ok(Some(format_time(time).into()))
}

fn quantity(encoded: &[u8]) -> Result<Value, Error> {
    let mut amount = "";
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => amount = text(bytes(wire)?)?,
            _ => return Err(unknown(field, wire, "Quantity")),
        }
    }
    Ok(if amount.is_empty() { "0" } else { amount }.into())
}

fn int_or_string(encoded: &[u8]) -> Result<Value, Error> {
    let (mut is, mut int, mut string) = (0, 0, "");
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => is = number(wire)?,
            2 => int = number(wire)?,
            3 => string = text(bytes(wire)?)?,
            _ => return Err(unknown(field, wire, "IntOrString")),
        }
    }
    match is {
        0 => i32::try_from(int)
            .map(Value::from)
            .map_err(|_| Error::malformed("the number is not one of 32 bits")),
        1 => Ok(string.into()),
        other => Err(Error::malformed(format!(
            "{other} is not a type of an IntOrString"
        ))),
    }
}

fn json(encoded: &[u8]) -> Result<Value, Error> {
    let mut raw = &[][..];
    let mut reader = Reader::new(encoded);
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => raw = bytes(wire)?,
            _ => return Err(unknown(field, wire, "FieldsV1")),
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| Error::malformed(format!("invalid JSON: {error}")))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_i64() == Some(0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}
