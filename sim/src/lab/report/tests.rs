use std::path::PathBuf;

use super::{html, Parts};
use crate::lab::file::Source;
use crate::lab::run::Cancel;
use crate::lab::store::{self, Keep};
use crate::lab::sweep::sweep;

const SMALL: &str = r#"
title = "Small <script>"
members = 5
rounds = 4
seeds = [1, 2]
[data]
name = "wdbc"
[[attackers]]
count = 1
attack = { name = "backdoor" }
schedule = { from = 2 }
[acceptance]
accuracy_loss_max = 0.5
honest_quarantined_max = 0
[sweep]
contracts = [{}, { rule = { name = "bulyan" }, byzantine = 1 }]
hostile = [0, 1]
"#;

/// Every tag that is opened is closed, in order: a reader's browser must not have to guess.
fn balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in page.split('<').skip(1) {
        let tag = piece.split('>').next().expect("split gives one piece");
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().expect("one piece");
        if tag.starts_with('!') || tag.ends_with('/') || ["meta", "br"].contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "…{}", &piece[..piece.len().min(60)]);
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let source = Source::parse("small", "small.toml", SMALL.to_owned(), PathBuf::from("."))
        .expect("it is good");
    let cancel = Cancel::default();
    let outcome = store::run(&source, &Keep::default(), &cancel, &|_| {}).expect("it runs");
    let grid = sweep(&source, &cancel, |_, _| {}).expect("it runs");
    assert_eq!(grid.cells.len(), 4);
    assert!(grid.cells[2].refused.is_some() && grid.cells[0].summary.is_some());
    let page = html(Parts { outcome: Some(&outcome), grid: Some(&grid), hunt: None });
    balanced(&page);
    for part in ["Small &lt;script&gt;", "Passed", "▲ attacker", "The attackers’ goal", "refused"]
    {
        let part = part.replace('’', "'");
        assert!(page.contains(&part), "no {part}");
    }
    for foreign in ["<script", "http://", "https://", "url(//", "@import", "NaN", "inf"] {
        let body = page.split("</style>").nth(1).expect("a style comes first");
        let found = body.matches(foreign).count();
        let harmless = body.matches("information").count()
            + body.matches("infiltration").count()
            + body.matches("infinit").count();
        assert!(found <= if foreign == "inf" { harmless } else { 0 }, "{foreign}");
    }
    // The same results give the same page.
    assert_eq!(page, html(Parts { outcome: Some(&outcome), grid: Some(&grid), hunt: None }));
}
