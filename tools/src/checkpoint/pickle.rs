//! Python's pickles, of which nothing is executed.
//!
//! A pickle is a program for a machine with a stack (`pickletools.py` of CPython describes its instructions). This one knows
//! those that plain data need; what a pickle wants to call is put down as a [`Object::Call`], with the name of it, and whoever
//! reads the result looks for the few names that it knows.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

/// An object: its place among those of the pickle, so that it may occur several times and change after it did.
pub(super) type Id = usize;

/// What an object is.
#[derive(Clone, Debug)]
pub(super) enum Object {
    None,
    Int(i64),
    Text(String),
    /// A float, bytes, or a whole number that is too large: nothing that describes weights.
    Other,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Something that has a name: its module, a point, and the name in there.
    Global(String),
    /// What the call of the first with the second, a tuple, would give.
    Call(Id, Id),
    /// What stands outside of the pickle, under the name that the object is.
    Persistent(Id),
}

/// The objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Objects(Vec<Object>);

impl Objects {
    pub(super) fn get(&self, id: Id) -> &Object {
        &self.0[id]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    /// Return the numbers of a tuple of sizes.
    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.tuple(id)?.iter().map(|&id| self.size(id)).collect()
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// The machine.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Objects,
    stack: Vec<Id>,
    /// How many objects the stack had at each mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

/// Return the object that the pickle at the start of `bytes` makes, all objects, and how many bytes it took.
pub(super) fn load(bytes: &[u8]) -> Result<(Id, Objects, usize)> {
    let (objects, stack, marks, memo) = (Objects::default(), Vec::new(), Vec::new(), HashMap::new());
    let mut machine = Machine { bytes, at: 0, objects, stack, marks, memo };
    loop {
        let at = machine.at;
        let [instruction] = machine.take_array()?;
        if instruction == b'.' {
            let result = machine.pop()?;
            return Ok((result, machine.objects, machine.at));
        }
        machine.step(instruction).with_context(|| format!("in the pickle, at byte {at}"))?;
    }
}

impl<'a> Machine<'a> {
    fn step(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }

            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Int(i64::from(instruction == 0x88))), // NEWTRUE, NEWFALSE
            b'J' => {
                let number = i32::from_le_bytes(self.take_array()?);
                self.push(Object::Int(number.into()));
            }
            b'K' => {
                let number = self.length::<1>()?;
                self.push(Object::Int(number as i64));
            }
            b'M' => {
                let number = self.length::<2>()?;
                self.push(Object::Int(number as i64));
            }
            0x8a => {
                // LONG1: a number of so many bytes, the last of which has the sign.
                let n_bytes = self.length::<1>()?;
                let bytes = self.take(n_bytes)?;
                let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
                let mut wide = [sign; 8];
                let number = match wide.get_mut(..n_bytes) {
                    Some(low) => {
                        low.copy_from_slice(bytes);
                        Object::Int(i64::from_le_bytes(wide))
                    }
                    None => Object::Other,
                };
                self.push(number);
            }
            b'G' => {
                self.take(8)?;
                self.push(Object::Other);
            }
            0x8c => self.text::<1>()?,
            b'X' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'U' | b'C' => self.skip_bytes::<1>()?,
            b'T' | b'B' => self.skip_bytes::<4>()?,

            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let n_items = usize::from(instruction - 0x84);
                let start = self.stack.len().checked_sub(n_items).context("the stack is too short")?;
                let items = self.stack.split_off(start);
                self.push(Object::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Dict(Vec::new()));
                self.set(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(items)?;
            }

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let names = self.objects.text(module).zip(self.objects.text(name));
                let (module, name) = names.context("a name is no text")?;
                let global = Object::Global(format!("{module}.{name}"));
                self.push(global);
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                match self.objects.global(callable) {
                    // The one that is nothing but data.
                    Some("collections.OrderedDict") => self.push(Object::Dict(Vec::new())),
                    _ => self.push(Object::Call(callable, arguments)),
                }
            }
            // BUILD gives an object a state beside what it is, which no tensor needs.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let name = self.pop()?;
                self.push(Object::Persistent(name));
            }

            b'q' => {
                let place = self.length::<1>()?;
                self.remember(place)?;
            }
            b'r' => {
                let place = self.length::<4>()?;
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let place = self.length::<1>()?;
                self.recall(place)?;
            }
            b'j' => {
                let place = self.length::<4>()?;
                self.recall(place)?;
            }
            other => bail!("instruction {other:#04x} is none that plain data need"),
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..len);
        let taken =
            taken.with_context(|| format!("the pickle ends within {len} bytes at byte {}", self.at))?;
        self.at += len;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    /// Return the next number, of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(self.take(N)?);
        Ok(usize::try_from(u64::from_le_bytes(wide))?)
    }

    fn text<const N: usize>(&mut self) -> Result<()> {
        let len = self.length::<N>()?;
        let text = String::from_utf8(self.take(len)?.to_vec()).context("a text is not UTF-8")?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn skip_bytes<const N: usize>(&mut self) -> Result<()> {
        let len = self.length::<N>()?;
        self.take(len)?;
        self.push(Object::Other);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').context("a name does not end")?;
        self.at += len + 1;
        Ok(std::str::from_utf8(&rest[..len])?)
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.0.len());
        self.objects.0.push(object);
    }

    fn top(&self) -> Result<Id> {
        let is_above_mark = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| is_above_mark).context("the stack is empty")
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("there is no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match &mut self.objects.0[list] {
            Object::List(known) => known.extend(items),
            _ => bail!("something is added to what is no list"),
        }
        Ok(())
    }

    /// Set keys and values, in turns, of the dictionary on top of the stack.
    fn set(&mut self, items: Vec<Id>) -> Result<()> {
        let dict = self.top()?;
        ensure!(items.len().is_multiple_of(2), "a key has no value");
        match &mut self.objects.0[dict] {
            Object::Dict(known) => known.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => bail!("something is set in what is no dictionary"),
        }
        Ok(())
    }

    fn remember(&mut self, place: usize) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<()> {
        let id = *self.memo.get(&place).with_context(|| format!("nothing was remembered as {place}"))?;
        self.stack.push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_put_down_and_not_made() {
        // pickletools.dis: GLOBAL 'os system', MARK, UNICODE, TUPLE, REDUCE, STOP.
        let (root, objects, len) = load(b"cos\nsystem\n(X\x04\x00\x00\x00exittR.").unwrap();
        let Object::Call(callable, arguments) = *objects.get(root) else { panic!("{objects:?}") };
        assert_eq!(objects.global(callable), Some("os.system"));
        assert_eq!(objects.text(objects.tuple(arguments).unwrap()[0]), Some("exit"));
        assert_eq!(len, 24);
    }

    #[test]
    fn what_no_pickle_is_is_an_error() {
        // Cut short; a value without a key; a mark below what is popped; an unknown instruction; a length beyond the file.
        for bad in
            [&b"(K"[..], b"}(K\x01u.", b"K\x01(0.", b"i.", b"X\xff\xff\xff\xff.", b"h\x00.", b"K\x01a."]
        {
            assert!(load(bad).is_err(), "{bad:?}");
        }
    }
}
