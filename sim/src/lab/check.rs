//! Checks a TOML document against its [`Shape`], and says of everything that is wrong where it is,
//! what was found and what is allowed.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use thiserror::Error;
use toml::de::{DeTable, DeValue};
use toml::Spanned;

use super::shape::{quoted, Absent, Field, Shape};

/// Most faults that are reported at once.
const FAULTS_MAX: usize = 20;

/// One thing wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, such as `attackers[0].attack.share`; empty for the document itself.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// A file is not of its shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", listed(file, faults))]
pub struct CheckError {
    /// Name of the file.
    pub file: String,
    /// What is wrong with it, in the order of lines; at least one.
    pub faults: Vec<Fault>,
}

fn listed(file: &str, faults: &[Fault]) -> String {
    let mut text = String::new();
    for (k, Fault { line, column, field, found, allowed }) in faults.iter().enumerate() {
        let place = if field.is_empty() { String::new() } else { format!(" `{field}`:") };
        let newline = if k == 0 { "" } else { "\n" };
        write!(text, "{newline}{file}:{line}:{column}:{place} {found}; allowed: {allowed}")
            .expect("writing to a string cannot fail");
    }
    text
}

/// Checks `text` against the fields of its root table and returns it as JSON.
///
/// # Errors
/// Everything that is wrong, up to twenty faults.
pub fn check(file: &str, text: &str, root: &[Field]) -> Result<Value, CheckError> {
    let mut checker = Checker { text, faults: Vec::new() };
    let value = match DeTable::parse(text) {
        Ok(document) => {
            let span = document.span();
            checker.table("", document.get_ref(), root, span, &[])
        }
        Err(error) => {
            let found = error.message().replace('\n', ", ");
            checker.fault(error.span().unwrap_or(0..0), "", found, "a TOML document".to_owned());
            Value::Null
        }
    };
    let mut faults = checker.faults;
    if faults.is_empty() {
        return Ok(value);
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.truncate(FAULTS_MAX);
    Err(CheckError { file: file.to_owned(), faults })
}

/// Where `field` (such as `contract.byzantine`) stands in `text`: line and column, for faults that
/// only show once the whole is put together. The first place that leads to it when it is absent.
pub fn place(text: &str, field: &str) -> (usize, usize) {
    let Ok(document) = DeTable::parse(text) else { return (1, 1) };
    let mut span = 0..0;
    let mut here: Option<&DeValue<'_>> = None;
    let mut table = Some(document.get_ref());
    for part in field.split(['.', '[']) {
        if let Some(index) = part.strip_suffix(']') {
            let Some(DeValue::Array(items)) = here else { break };
            let Some(item) = index.parse().ok().and_then(|k: usize| items.get(k)) else { break };
            span = item.span();
            here = Some(item.get_ref());
        } else {
            let found = table
                .and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == part));
            let Some((key, value)) = found else { break };
            span = key.span();
            here = Some(value.get_ref());
        }
        table = match here {
            Some(DeValue::Table(table)) => Some(table),
            _ => None,
        };
    }
    line_and_column(text, span.start)
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

struct Checker<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, span: Range<usize>, field: &str, found: String, allowed: String) {
        let (line, column) = line_and_column(self.text, span.start);
        self.faults.push(Fault { line, column, field: field.to_owned(), found, allowed });
    }

    fn value(&mut self, field: &str, value: &Spanned<DeValue<'_>>, shape: &Shape) -> Value {
        let span = value.span();
        match (value.get_ref(), shape) {
            (found, Shape::Any) => json_of(found),
            (found, Shape::Either(shapes)) => {
                let fitting = shapes.iter().find(|shape| same_kind(found, shape));
                match fitting {
                    Some(shape) => self.value(field, value, shape),
                    None => self.mismatch(field, value, shape),
                }
            }
            (DeValue::String(text), Shape::Text) => Value::String(text.to_string()),
            (DeValue::String(text), Shape::Choice(words)) => {
                if !words.contains(&text.as_ref()) {
                    let found = format!("`\"{text}\"`{}", suggestion(text, words.iter().copied()));
                    self.fault(span, field, found, shape.allowed());
                }
                Value::String(text.to_string())
            }
            (DeValue::Boolean(flag), Shape::Flag) => Value::Bool(*flag),
            (DeValue::Integer(_), Shape::Integer { min, max }) => {
                match whole(value.get_ref()).filter(|number| (min..=max).contains(&number)) {
                    Some(number) => Value::Number(number.into()),
                    None => self.mismatch(field, value, shape),
                }
            }
            (DeValue::Integer(_) | DeValue::Float(_), Shape::Number { min, max }) => {
                let fits = real(value.get_ref()).is_some_and(|x| (*min..=*max).contains(&x));
                match json_of(value.get_ref()) {
                    number @ Value::Number(_) if fits => number,
                    _ => self.mismatch(field, value, shape),
                }
            }
            (DeValue::Array(items), Shape::List { of, min, max }) => {
                if !(*min..=*max).contains(&items.len()) {
                    let found = format!("a list of {}", items.len());
                    self.fault(span, field, found, shape.allowed());
                }
                let items = items.iter().enumerate();
                items.map(|(k, item)| self.value(&format!("{field}[{k}]"), item, of)).collect()
            }
            (DeValue::Table(table), Shape::Table(fields)) => {
                self.table(field, table, fields, span, &[])
            }
            (DeValue::Table(table), Shape::Named(_)) => self.named(field, table, shape, span),
            _ => self.mismatch(field, value, shape),
        }
    }

    fn mismatch(&mut self, field: &str, value: &Spanned<DeValue<'_>>, shape: &Shape) -> Value {
        self.fault(value.span(), field, describe(value.get_ref()), shape.allowed());
        Value::Null
    }

    /// A table whose `name` decides about its other fields.
    fn named(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        shape: &Shape,
        span: Range<usize>,
    ) -> Value {
        let Shape::Named(variants) = shape else { unreachable!("called for named tables only") };
        let name = table.iter().find(|(key, _)| key.get_ref() == "name");
        let field = join(path, "name");
        let names: Vec<&'static str> = variants.iter().map(|variant| variant.name).collect();
        let Some((_, name)) = name else {
            self.fault(span, &field, "it is missing".to_owned(), Shape::Choice(names).allowed());
            return Value::Null;
        };
        let choice = Shape::Choice(names);
        let before = self.faults.len();
        let chosen = self.value(&field, name, &choice);
        let variant = variants.iter().find(|variant| chosen == *variant.name);
        match variant {
            Some(variant) => {
                let mut value = self.table(path, table, &variant.fields, span, &["name"]);
                if let Value::Object(fields) = &mut value {
                    fields.insert("name".to_owned(), chosen);
                }
                value
            }
            None => {
                debug_assert!(self.faults.len() > before, "an unknown name was reported");
                Value::Null
            }
        }
    }

    fn table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        fields: &[Field],
        span: Range<usize>,
        beside: &[&str],
    ) -> Value {
        let mut object = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if beside.contains(&name) {
                continue;
            }
            if let Some(field) = fields.iter().find(|field| field.name == name) {
                object.insert(name.to_owned(), self.value(&join(path, name), value, &field.shape));
            } else {
                let names: Vec<&str> =
                    beside.iter().copied().chain(fields.iter().map(|f| f.name.as_str())).collect();
                let found =
                    format!("no field has this name{}", suggestion(name, names.iter().copied()));
                let allowed = if names.is_empty() { "no field".to_owned() } else { quoted(&names) };
                self.fault(key.span(), &join(path, name), found, allowed.replace('"', ""));
            }
        }
        for field in fields {
            let missing = field.absent == Absent::Refused && !table.contains_key(&*field.name);
            if missing {
                let path = join(path, &field.name);
                let found = "it is missing".to_owned();
                self.fault(span.clone(), &path, found, field.shape.allowed());
            }
        }
        Value::Object(object)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn same_kind(value: &DeValue<'_>, shape: &Shape) -> bool {
    match value {
        DeValue::String(_) => matches!(shape, Shape::Text | Shape::Choice(_)),
        DeValue::Boolean(_) => matches!(shape, Shape::Flag),
        DeValue::Integer(_) => matches!(shape, Shape::Integer { .. } | Shape::Number { .. }),
        DeValue::Float(_) => matches!(shape, Shape::Number { .. }),
        DeValue::Array(_) => matches!(shape, Shape::List { .. }),
        // Of two tables, the one with a name is meant where there is a name.
        DeValue::Table(table) => match shape {
            Shape::Named(_) => table.contains_key("name"),
            Shape::Table(_) => true,
            _ => false,
        },
        DeValue::Datetime(_) => false,
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(integer) = value else { return None };
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn real(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(_) => whole(value).map(|number| number as f64),
        _ => None,
    }
}

/// A value as JSON; what JSON cannot hold (an infinity, a date) becomes null.
fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(_) => {
            whole(value).map_or(Value::Null, |number| Value::Number(number.into()))
        }
        DeValue::Float(_) => {
            real(value).and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Null,
        DeValue::Array(items) => items.iter().map(|item| json_of(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let fields = table.iter();
            fields
                .map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())))
                .collect()
        }
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => {
            let short: String = text.chars().take(40).collect();
            format!("the text \"{short}\"")
        }
        DeValue::Integer(integer) => format!("the whole number {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(flag) => format!("{flag}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(items) => format!("a list of {}", items.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// `, did you mean ...?` when a name is near.
fn suggestion<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(found, names).map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The name with the fewest edits from `found`, if these are at most a third of its length.
pub fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| edits(found, name);
    let (edits, name) = names.map(|name| (distance(name), name)).min()?;
    (edits <= (found.chars().count().max(name.chars().count()) / 3).max(1)).then_some(name)
}

/// Letters inserted, left out, changed, or swapped with their neighbour (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests;
