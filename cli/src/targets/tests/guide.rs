//! The examples of docs/host-sets.md.

use super::super::fold::fold;
use super::super::language::Evaluator;
use super::table::Tables;

#[test]
fn the_table_of_the_guide_is_right() {
    let text = include_str!("../../../../docs/host-sets.md");
    let group = |name: &str, set: &str| (name.to_owned(), set.to_owned());
    let main = vec![group("all", "web[1-3],db[1-2]"), group("db", "db[1-2]")];
    let racks = vec![group("r1", "r1n[1-4]"), group("r2", "r2n[1-4]")];
    let tables = Tables::new(&[("main".to_owned(), main), ("racks".to_owned(), racks)]);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<(&str, &str)> = rows
        .map(|row| {
            let mut cells = row.split('`');
            (cells.next().unwrap(), cells.nth(1).unwrap())
        })
        .collect();
    assert!(rows.len() > 15, "{rows:?}");
    for (set, expected) in rows {
        assert_eq!(fold(Evaluator::new(&tables).text(set, None).unwrap().names()), expected, "{set}");
    }
}
