//! Environment variables over settings.

use super::{Config, ConfigError, SECTIONS};

const PREFIX: &str = "FEDLEDGER_";

/// The settings as nested tables: section, field, value.
pub(super) fn to_table(config: &Config) -> toml::Table {
    toml::Table::try_from(config).expect("settings are plain values")
}

/// Replaces the settings that variables name. Variables outside `FEDLEDGER_<SECTION>_` are not
/// settings and are left alone.
pub(super) fn override_with(
    config: Config,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut config = config;
    for (variable, text) in variables {
        let Some((section, field)) = setting_of(&variable) else { continue };
        let mut table = to_table(&config);
        let fields = table[section].as_table_mut().expect("a section is a table");
        let Some(old) = fields.get(&field) else {
            return Err(ConfigError::UnknownVariable {
                known: fields.keys().cloned().collect::<Vec<_>>().join(", "),
                section: section.into(),
                variable,
            });
        };
        let bad = |reason: String| ConfigError::BadVariable { variable: variable.clone(), reason };
        let value = parse_like(old, &text).map_err(bad)?;
        fields.insert(field, value);
        config =
            table.try_into().map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
    }
    Ok(config)
}

/// Section and field that a variable's name says, when it starts with a section's.
fn setting_of(variable: &str) -> Option<(&'static str, String)> {
    let rest = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    SECTIONS.iter().find_map(|(section, _)| {
        let field = rest.strip_prefix(section)?.strip_prefix('_')?;
        Some((*section, field.to_owned()))
    })
}

/// The text as a value of the same type as the setting's present one.
fn parse_like(old: &toml::Value, text: &str) -> Result<toml::Value, String> {
    let value = match old {
        toml::Value::Integer(_) => text
            .parse()
            .map(toml::Value::Integer)
            .map_err(|_| format!("expected a whole number, found `{text}`"))?,
        toml::Value::Boolean(_) => text
            .parse()
            .map(toml::Value::Boolean)
            .map_err(|_| format!("expected true or false, found `{text}`"))?,
        toml::Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect())
        }
        _ => toml::Value::String(text.to_owned()),
    };
    Ok(value)
}
