//! Member ids from the names of institutions.

use fedledger_ledger::limits::ID_BYTES_MAX;

use crate::data::Site;

/// Sorts the sites by member id and returns the ids: ascending and distinct.
pub(super) fn order_by_member_id(sites: &mut [Site]) -> Vec<String> {
    sites.sort_by_cached_key(|site| (member_id(&site.name), site.name.clone()));
    let mut names: Vec<String> = sites.iter().map(|site| member_id(&site.name)).collect();
    let distinct = names.windows(2).all(|two| two[0] < two[1]);
    if !distinct {
        // Names that only differ in what an id cannot hold.
        names = (1..=sites.len()).map(|k| format!("institution-{k:03}")).collect();
    }
    names
}

/// `name` in lower case, with everything that an id cannot hold replaced by '-'.
fn member_id(name: &str) -> String {
    let replaced: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(ID_BYTES_MAX)
        .collect();
    let trimmed = replaced.trim_matches('-');
    if trimmed.is_empty() {
        "institution".to_owned()
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::ids::MemberId;

    use super::order_by_member_id;
    use crate::data::{fixtures::clouds, Site};

    #[test]
    fn any_names_become_ascending_member_ids() {
        let long = "x".repeat(80);
        for names in [
            vec!["VA", "cleveland", "Hôpital St. Anne", "_", &long],
            vec!["a b", "a-b", "A_B"],
            vec!["zürich", "z-rich"],
        ] {
            let data = clouds(4, 1, 1);
            let mut sites: Vec<Site> = names
                .iter()
                .map(|name| Site {
                    name: (*name).to_owned(),
                    train: data.clone(),
                    test: data.clone(),
                })
                .collect();
            let ids = order_by_member_id(&mut sites);
            assert!(ids.iter().all(|id| MemberId::new(id.as_str()).is_ok()), "{ids:?}");
            assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
            assert_eq!(ids.len(), names.len());
        }
    }
}
