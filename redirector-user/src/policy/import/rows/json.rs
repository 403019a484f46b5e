//! Rows of JSON: an array of objects, read one by one.

use std::{borrow::Cow, collections::BTreeMap};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Judge, ROW_OCTETS, Shape, column, usage};
use crate::policy::dial::Refusal;

pub(super) fn each(file: &[u8], shape: &Shape, judge: &mut Judge<'_>) {
    let read = array(file, 0, &mut |line,
                                    row: Result<
        BTreeMap<String, Value>,
        Refusal,
    >| {
        match row.and_then(|row| fields(row, shape)) {
            Ok(fields) => judge(line, Ok(&fields)),
            Err(refusal) => judge(line, Err(refusal)),
        }
    });
    if let Err((line, refusal)) = read {
        judge(line, Err(refusal));
    }
}

/// Goes through the items of the array that begins there, as long as `take` wants more.
///
/// # Errors
///
/// The line on which it is no JSON any more, and what is wrong.
pub(in crate::policy::import) fn array<T: DeserializeOwned>(
    file: &[u8],
    from: usize,
    take: &mut dyn FnMut(u64, Result<T, Refusal>) -> bool,
) -> Result<(), (u64, Refusal)> {
    let mut reader = Reader::new(file, from);
    reader.expect(b'[', "an array of objects")?;
    if reader.peek() == Some(b']') {
        return Ok(());
    }
    loop {
        let line = reader.line();
        let value = reader.value::<Value>(ROW_OCTETS)?;
        let item = serde_json::from_value(value).map_err(|error| usage(error.to_string()));
        if !take(line, item) {
            return Ok(());
        }
        match reader.peek() {
            Some(b',') => reader.at += 1,
            Some(b']') => {
                reader.at += 1;
                return match reader.peek() {
                    None => Ok(()),
                    // Of an object, the rest is not ours to read.
                    Some(b'}' | b',') if from > 0 => Ok(()),
                    Some(_) => Err(reader.wrong("something follows on the array")),
                };
            }
            Some(_) => return Err(reader.wrong("no comma between two objects")),
            None => return Err(reader.wrong("the array has no end; was the file cut off?")),
        }
    }
}

/// Where a member's value begins in the object that a file is; other members are handed to `other`.
///
/// # Errors
///
/// As [`array`].
pub(in crate::policy::import) fn member(
    file: &[u8],
    name: &str,
    other: &mut dyn FnMut(&str, Value),
) -> Result<usize, (u64, Refusal)> {
    let mut reader = Reader::new(file, 0);
    reader.expect(b'{', "an object")?;
    loop {
        let key: String = reader.value(ROW_OCTETS)?;
        reader.expect(b':', "a colon after a name")?;
        reader.skip();
        if key == name {
            return Ok(reader.at);
        }
        let value = reader.value(ROW_OCTETS)?;
        other(&key, value);
        match reader.peek() {
            Some(b',') => reader.at += 1,
            _ => return Err(reader.wrong(&format!("there is no {name}"))),
        }
    }
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    /// What is counted already, and its number.
    counted: usize,
    line: u64,
}

impl<'a> Reader<'a> {
    const fn new(file: &'a [u8], at: usize) -> Self {
        Self {
            file,
            at,
            counted: 0,
            line: 1,
        }
    }

    fn skip(&mut self) {
        let rest = self.file.get(self.at..).unwrap_or(&[]);
        let empty = rest.iter().take_while(|octet| octet.is_ascii_whitespace());
        self.at += empty.count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip();
        self.file.get(self.at).copied()
    }

    fn expect(&mut self, octet: u8, what: &str) -> Result<(), (u64, Refusal)> {
        if self.peek() == Some(octet) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(&format!(
            "not JSON as it should be: {what} is expected here"
        )))
    }

    /// The line that the next value begins on.
    fn line(&mut self) -> u64 {
        self.skip();
        let passed = self.file.get(self.counted..self.at).unwrap_or(&[]);
        self.line += passed.iter().filter(|octet| **octet == b'\n').count() as u64;
        self.counted = self.at;
        self.line
    }

    fn value<T: DeserializeOwned>(&mut self, most: usize) -> Result<T, (u64, Refusal)> {
        self.skip();
        let rest = self.file.get(self.at..).unwrap_or(&[]);
        let within = rest.get(..most).unwrap_or(rest);
        let mut values = serde_json::Deserializer::from_slice(within).into_iter();
        let value = values.next();
        let read = values.byte_offset();
        match value {
            Some(Ok(value)) => {
                self.at += read;
                Ok(value)
            }
            Some(Err(error)) if error.is_eof() && within.len() < rest.len() => {
                Err(self.wrong(&format!("longer than {most} octets, or never closed")))
            }
            Some(Err(error)) => {
                // Its lines are counted from here.
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                Err(self.wrong(&format!("not JSON: {what}")))
            }
            None => Err(self.wrong("the file ends here; was it cut off?")),
        }
    }

    fn wrong(&mut self, what: &str) -> (u64, Refusal) {
        (self.line(), usage(what))
    }
}

fn fields(
    row: BTreeMap<String, Value>,
    shape: &Shape,
) -> Result<Vec<(usize, Cow<'static, str>)>, Refusal> {
    let mut fields = Vec::with_capacity(row.len());
    for (name, value) in row {
        let column = column(shape, &name)?;
        let value = scalar(&name, value)?;
        if !value.is_empty() {
            fields.push((column, Cow::Owned(value)));
        }
    }
    Ok(fields)
}

fn scalar(name: &str, value: Value) -> Result<String, Refusal> {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(true) => String::from("yes"),
        Value::Bool(false) => String::from("no"),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\0') => {
            return Err(usage(format!("{name} holds NUL; take it out")));
        }
        Value::String(text) => text.trim().to_owned(),
        Value::Array(_) | Value::Object(_) => {
            return Err(usage(format!(
                "{name}: text, a number, or true or false is expected"
            )));
        }
    };
    Ok(text)
}
