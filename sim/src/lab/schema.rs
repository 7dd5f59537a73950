//! The published forms of the scenario's fields: a JSON Schema (draft 2020-12) for editors, and the
//! tables of `docs/laboratory.md`.

use serde_json::{json, Map, Value};

use super::fields::root;
use super::shape::{Absent, Field, Shape};

/// The JSON Schema of a scenario file, as pretty JSON with a final newline.
pub fn json_schema() -> String {
    let mut schema = table(&root(), None);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("fedledger scenario");
    serde_json::to_string_pretty(&schema).expect("a schema has text keys") + "\n"
}

fn table(fields: &[Field], name: Option<&str>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some(name) = name {
        properties.insert("name".to_owned(), json!({ "const": name }));
        required.push("name");
    }
    for field in fields {
        let mut property = of(&field.shape);
        if !field.doc.is_empty() {
            property["description"] = json!(field.doc);
        }
        match &field.absent {
            Absent::Refused => required.push(&field.name),
            Absent::Default(value) => property["default"] = value.clone(),
            Absent::Meaning(_) => {}
        }
        properties.insert(field.name.clone(), property);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Integer { min, max: i64::MAX } => json!({ "type": "integer", "minimum": min }),
        Shape::Integer { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Shape::Number { min, max } => {
            let mut number = json!({ "type": "number" });
            if min.is_finite() {
                number["minimum"] = json!(min);
            }
            if max.is_finite() {
                number["maximum"] = json!(max);
            }
            number
        }
        Shape::List { of: element, min, max } => {
            let mut list = json!({ "type": "array", "items": of(element), "minItems": min });
            if *max != usize::MAX {
                list["maxItems"] = json!(max);
            }
            list
        }
        Shape::Table(fields) => table(fields, None),
        Shape::Named(variants) => {
            let tables = variants.iter().map(|variant| {
                let mut schema = table(&variant.fields, Some(variant.name));
                schema["description"] = json!(variant.doc);
                schema
            });
            json!({ "oneOf": tables.collect::<Vec<_>>() })
        }
        Shape::Either(shapes) => json!({ "oneOf": shapes.iter().map(of).collect::<Vec<_>>() }),
        Shape::Any => json!({}),
    }
}

/// All fields as Markdown tables, one for each table of the file.
pub fn markdown() -> String {
    let mut tables = Vec::new();
    describe("the file itself", &root(), &mut tables);
    tables.join("\n")
}

fn describe(place: &str, fields: &[Field], tables: &mut Vec<String>) {
    let mut text =
        format!("#### {place}\n\n| field | allowed | when absent | meaning |\n|---|---|---|---|\n");
    for field in fields {
        let absent = match &field.absent {
            Absent::Refused => "refused".to_owned(),
            Absent::Default(value) => format!("`{value}`"),
            Absent::Meaning(words) => (*words).to_owned(),
        };
        let allowed = brief(&field.shape);
        text += &format!("| `{}` | {allowed} | {absent} | {} |\n", field.name, field.doc);
    }
    tables.push(text);
    for field in fields {
        let place = match place {
            "the file itself" => format!("`{}`", field.name),
            place => format!("{}.{}`", place.trim_end_matches('`'), field.name),
        };
        inner(&place, &field.shape, tables);
    }
}

fn inner(place: &str, shape: &Shape, tables: &mut Vec<String>) {
    match shape {
        // What a sweep takes from the scenario is described there.
        Shape::Table(_) if place.starts_with("`sweep.") && place.matches('.').count() > 1 => {}
        Shape::Table(_) if ["`sweep.contracts`", "`sweep.schedules`"].contains(&place) => {}
        Shape::Table(fields) => describe(place, fields, tables),
        Shape::List { of, .. } => inner(place, of, tables),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| inner(place, shape, tables)),
        Shape::Named(_) if place.starts_with("`sweep.") => {}
        Shape::Named(variants) => {
            let mut text = format!("#### {place}, by its `name`\n\n| `name` | what | further fields |\n|---|---|---|\n");
            for variant in variants {
                let fields: Vec<String> = variant.fields.iter().map(in_a_row).collect();
                let fields = if fields.is_empty() { "none".to_owned() } else { fields.join("; ") };
                text += &format!("| `{}` | {} | {fields} |\n", variant.name, variant.doc);
            }
            tables.push(text);
        }
        _ => {}
    }
}

fn in_a_row(field: &Field) -> String {
    let doc = if field.doc.is_empty() { String::new() } else { format!(": {}", field.doc) };
    let absent = match &field.absent {
        Absent::Refused => "needed".to_owned(),
        Absent::Default(value) => format!("default {value}"),
        Absent::Meaning(words) => format!("absent: {words}"),
    };
    format!("`{}` ({absent}){doc}", field.name)
}

fn brief(shape: &Shape) -> String {
    match shape {
        Shape::Named(_) => "a table with `name`, see below".to_owned(),
        Shape::Table(_) => "a table, see below".to_owned(),
        Shape::List { of, min, max } => match (&**of, *max) {
            (Shape::Table(_) | Shape::Named(_), _) => "tables, see below".to_owned(),
            (of, usize::MAX) => format!("a list of {min} or more, each {}", brief(of)),
            (of, max) => format!("a list of {min} to {max}, each {}", brief(of)),
        },
        Shape::Either(shapes) => shapes.iter().map(brief).collect::<Vec<_>>().join(", or "),
        shape => shape.allowed(),
    }
}
