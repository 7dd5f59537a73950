//! What a scenario file may hold, as data: one description from which come the checks with line and
//! field ([`super::check`]), the published JSON Schema ([`super::schema`]) and the tables of
//! `docs/laboratory.md`.

use serde_json::Value;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Any text.
    Text,
    /// One of these words.
    Choice(Vec<&'static str>),
    /// True or false.
    Flag,
    /// A whole number, bounds included.
    Integer {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// A number, bounds included.
    Number {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// A list.
    List {
        /// What its elements are.
        of: Box<Shape>,
        /// Fewest elements.
        min: usize,
        /// Most elements.
        max: usize,
    },
    /// A table with these fields and no others.
    Table(Vec<Field>),
    /// A table whose field `name` says which further fields it has.
    Named(Vec<Variant>),
    /// A word or a table: `"none"` or the settings.
    Either(Vec<Shape>),
    /// Anything; what reads it says what is wrong.
    Any,
}

/// A field of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub shape: Shape,
    /// What holds when it is absent; `None` when it must be there.
    pub absent: Absent,
    /// What it means, in a sentence.
    pub doc: String,
}

/// What the absence of a field means.
#[derive(Debug, Clone, PartialEq)]
pub enum Absent {
    /// It must be there.
    Refused,
    /// This value.
    Default(Value),
    /// What the sentence says.
    Meaning(&'static str),
}

/// One table of a choice of tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The value of `name`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: String,
    /// Its further fields.
    pub fields: Vec<Field>,
}

impl Field {
    /// A field that must be there.
    pub fn required(name: &str, shape: Shape, doc: &str) -> Self {
        Self { name: name.to_owned(), shape, absent: Absent::Refused, doc: doc.to_owned() }
    }

    /// A field with a default.
    pub fn default(name: &str, shape: Shape, value: impl Into<Value>, doc: &str) -> Self {
        let absent = Absent::Default(value.into());
        Self { name: name.to_owned(), shape, absent, doc: doc.to_owned() }
    }

    /// A field whose absence means what `meaning` says.
    pub fn optional(name: &str, shape: Shape, meaning: &'static str, doc: &str) -> Self {
        let absent = Absent::Meaning(meaning);
        Self { name: name.to_owned(), shape, absent, doc: doc.to_owned() }
    }
}

impl Shape {
    /// A share, 0 to 1.
    pub fn share() -> Self {
        Self::Number { min: 0.0, max: 1.0 }
    }

    /// A count, `min` to `max`.
    pub fn count(min: i64, max: i64) -> Self {
        Self::Integer { min, max }
    }

    /// A list of `of` with `min` to `max` elements.
    pub fn list(of: Self, min: usize, max: usize) -> Self {
        Self::List { of: Box::new(of), min, max }
    }

    /// What is allowed, for a person: `a number from 0 to 1`.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text => "a text in quotes".to_owned(),
            Self::Choice(words) => match words.as_slice() {
                [one] => format!("`\"{one}\"`"),
                words => format!("one of {}", quoted(words)),
            },
            Self::Flag => "true or false".to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("a whole number of {min} or more"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => match (min.is_finite(), max.is_finite()) {
                (true, true) => format!("a number from {min} to {max}"),
                (true, false) => format!("a number of {min} or more"),
                (false, true) => format!("a number up to {max}"),
                (false, false) => "a number".to_owned(),
            },
            Self::List { of, min, max } => {
                let of = of.allowed();
                match (*min, *max) {
                    (0, usize::MAX) => format!("a list, each element {of}"),
                    (1, usize::MAX) => format!("a list of at least one, each {of}"),
                    (min, usize::MAX) => format!("a list of at least {min}, each {of}"),
                    (min, max) => format!("a list of {min} to {max}, each {of}"),
                }
            }
            Self::Table(_) => "a table".to_owned(),
            Self::Named(variants) => {
                let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
                format!("a table with `name`, one of {}", quoted(&names))
            }
            Self::Any => "what docs/laboratory.md says of it".to_owned(),
            Self::Either(shapes) => {
                shapes.iter().map(Self::allowed).collect::<Vec<_>>().join(", or ")
            }
        }
    }
}

/// `"a", "b"` in backquotes.
pub fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
}

/// The shape of values like `example`: what knobs have no description get from their defaults.
/// Whole numbers may be any from 0, other numbers any; nothing is known of what `null` stands for.
pub fn like(example: &Value) -> Shape {
    match example {
        Value::Null => Shape::Any,
        Value::Bool(_) => Shape::Flag,
        Value::Number(number) if number.is_u64() => Shape::count(0, i64::MAX),
        Value::Number(number) if number.is_i64() => Shape::count(i64::MIN, i64::MAX),
        Value::Number(_) => Shape::Number { min: f64::NEG_INFINITY, max: f64::INFINITY },
        Value::String(_) => Shape::Text,
        Value::Array(items) => {
            let of = items.first().map_or_else(|| like(&Value::Null), like);
            Shape::list(of, 0, usize::MAX)
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Field {
                name: name.clone(),
                shape: like(value),
                absent: match value {
                    Value::Null => Absent::Meaning("chosen by the attack"),
                    value => Absent::Default(value.clone()),
                },
                doc: String::new(),
            };
            Shape::Table(fields.iter().map(field).collect())
        }
    }
}
