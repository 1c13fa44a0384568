//! Which part of a dump goes where, and what of it is left out: pure, from what a scan has found.
//!
//! ```text
//!   one database        all of it                                            ─► Database
//!   several (ours)      the parts that the last line names                   ─► Server, Database …
//!   a server's, others' up to each \connect, and what makes a database       ─► Server, Database …
//! ```
//! Only positions count when it is loaded: nothing is looked at a second time.

use std::collections::BTreeSet;

use super::globals::is_cluster;
use super::scan::{About, OfServer, Scan, Span};
use super::sections::{self, has_index};
use crate::outline::Outline;
use crate::scan::{Allowed, Ending, Faults};
use crate::target::TargetError;

/// Where a part goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// What belongs to the whole server: statement by statement, outside of a transaction.
    Server,
    /// Into a database, within its transaction.
    Database(String),
}

/// A part of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) to: To,
    pub(super) span: Span,
}

impl Part {
    /// The database that it goes into.
    pub(super) fn database(&self) -> Option<&str> {
        match &self.to {
            To::Database(name) => Some(name),
            To::Server => None,
        }
    }
}

/// Whether a dump makes its databases itself.
pub(super) fn makes_databases(outline: &Outline) -> bool {
    is_cluster(&outline.head)
}

/// The parts of a dump, in their order. `database` is where a dump of a single one goes.
///
/// # Errors
/// If the line that names them is broken.
pub(super) fn parts(
    outline: &Outline,
    scan: &Scan,
    database: Option<&str>,
) -> Result<Vec<Part>, TargetError> {
    if has_index(&outline.head) {
        let broken = TargetError::Format("the index at the end of the dump is broken");
        let index = sections::read(&outline.tail).ok_or(broken)?;
        return Ok(index
            .sections
            .into_iter()
            .map(|section| Part {
                to: section.database.map_or(To::Server, To::Database),
                span: Span {
                    offset: section.offset,
                    end: section.offset + section.length,
                },
            })
            .collect());
    }
    if is_cluster(&outline.head) {
        return Ok(borders(scan));
    }
    let database = database.map(str::to_owned);
    Ok(database.map_or(Vec::new(), |name| {
        vec![Part {
            to: To::Database(name),
            span: Span {
                offset: 0,
                end: scan.bytes,
            },
        }]
    }))
}

/// The parts of a dump of a whole server that was not made by us: its own lines lead from database
/// to database, and a database is made before one leads to it.
fn borders(scan: &Scan) -> Vec<Part> {
    let mut borders = vec![(0, 0, To::Server)];
    for connect in &scan.connects {
        let to = To::Database(connect.database.clone());
        borders.push((connect.span.offset, connect.span.end, to));
    }
    for (span, _) in &scan.created {
        borders.push((span.offset, span.offset, To::Server));
    }
    borders.sort_by_key(|(at, ..)| *at);
    let ends: Vec<u64> = borders
        .iter()
        .skip(1)
        .map(|(at, ..)| *at)
        .chain([scan.bytes])
        .collect();
    let parts = borders.into_iter().zip(ends);
    parts
        .map(|((_, offset, to), end)| Part {
            to,
            span: Span {
                offset,
                end: end.max(offset),
            },
        })
        .filter(|part| part.span.offset < part.span.end)
        .collect()
}

/// Whether a dump may be loaded, as far as its text says.
///
/// # Errors
/// What stands against it.
pub(super) fn sound(
    outline: &Outline,
    scan: &Scan,
    parts: &[Part],
    address: &str,
) -> Result<(), TargetError> {
    let allowed = outline.allowed;
    let refused = refused(outline, scan, parts);
    if !refused.is_empty() {
        return Err(TargetError::Refused {
            address: address.to_owned(),
            what: refused.told(),
        });
    }
    whole(outline, scan, parts)?;
    let changes = changes(scan, parts);
    if !changes.is_empty() && !allowed.server_changes {
        return Err(TargetError::Changes {
            address: address.to_owned(),
            what: changes.told(),
        });
    }
    Ok(())
}

fn whole(outline: &Outline, scan: &Scan, parts: &[Part]) -> Result<(), TargetError> {
    let ending = match has_index(&outline.head) {
        // Its last line is there; so each part has to have its own.
        true => {
            let ended = |part: &Part| scan.ends_well(part.span, part.to == To::Server);
            match (scan.ends_within, parts.iter().all(ended)) {
                (Some(within), _) => Ending::Within(within),
                (None, true) => Ending::Said,
                (None, false) => Ending::Unsaid,
            }
        }
        false => scan.ending(is_cluster(&outline.head)),
    };
    outline.whole(ending)
}

fn refused(outline: &Outline, scan: &Scan, parts: &[Part]) -> Faults {
    let mut refused = scan.refused.clone();
    let within = |at: u64, part: &Part| part.span.offset <= at && at < part.span.end;
    if !is_cluster(&outline.head) {
        let strays = scan.connects.iter();
        for connect in
            strays.filter(|connect| parts.iter().any(|part| within(connect.span.offset, part)))
        {
            refused.push("\\connect", connect.span.offset, connect.line);
        }
        for (span, line) in &scan.created {
            let part = parts.iter().find(|part| within(span.offset, part));
            if part.is_none_or(|part| part.to != To::Server) {
                refused.push("CREATE DATABASE", span.offset, *line);
            }
        }
    }
    let server = || parts.iter().filter(|part| part.to == To::Server);
    for (offset, line) in &scan.inside {
        if server().any(|part| within(*offset, part)) {
            refused.push(
                "what belongs into a database among the roles",
                *offset,
                *line,
            );
        }
    }
    refused
}

fn changes(scan: &Scan, parts: &[Part]) -> Faults {
    let mut changes = scan.changes.clone();
    for statement in &scan.of_server {
        let unclear = statement.role == About::Unclear;
        if unclear || !of_server(statement, parts) {
            changes.push(statement.what, statement.span.offset, statement.line);
        }
    }
    changes
}

/// Whether a statement stands where those about the whole server belong: a dump of a whole server
/// sets the rights on a database and its settings within that database's part.
fn of_server(statement: &OfServer, parts: &[Part]) -> bool {
    let at = statement.span.offset;
    let part = parts
        .iter()
        .find(|part| part.span.offset <= at && at < part.span.end);
    let whole_server = || parts.iter().any(|part| part.to == To::Server);
    part.is_some_and(|part| match statement.role {
        About::Else => whole_server(),
        _ => part.to == To::Server,
    })
}

/// Roles of the dump that the server has already, and that stay as they are.
pub(super) fn kept_roles<'a>(
    scan: &'a Scan,
    parts: &[Part],
    there: &BTreeSet<String>,
) -> BTreeSet<&'a str> {
    let about = scan
        .of_server
        .iter()
        .filter(|statement| of_server(statement, parts));
    about
        .filter_map(|statement| match &statement.role {
            About::Role(name) => there.contains(name).then_some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// What has to be known of the server to say what is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The roles that it has.
    pub(super) roles: &'a BTreeSet<String>,
    /// Who loads.
    pub(super) user: &'a str,
    /// Whether it may do everything.
    pub(super) superuser: bool,
    /// Its major version.
    pub(super) major: u32,
    /// What was asked for.
    pub(super) allowed: Allowed,
}

/// What is left out, in order and without overlaps: psql's own lines, settings that the server does
/// not know or that would let it wait for ever, and whatever is about roles that are there.
pub(super) fn left_out(scan: &Scan, facts: Facts<'_>) -> Vec<Span> {
    let mut cuts = scan.cuts.clone();
    cuts.extend(scan.timeouts.iter().filter_map(|(name, span)| {
        let unknown = *name == "lock_timeout" || facts.major < 17;
        unknown.then_some(*span)
    }));
    let stays = |statement: &&OfServer| match &statement.role {
        About::Own => true,
        About::Role(name) => {
            name == facts.user || (facts.roles.contains(name) && !facts.allowed.server_changes)
        }
        About::Unclear | About::Else => false,
    };
    cuts.extend(
        scan.of_server
            .iter()
            .filter(stays)
            .map(|statement| statement.span),
    );
    // What is there stays: only its owner may drop it, and on a managed server that is nobody who
    // restores.
    let made_anew = |(name, span): &(String, Span)| scan.extensions.contains(name).then_some(*span);
    cuts.extend(scan.extension_drops.iter().filter_map(made_anew));
    if !facts.superuser {
        cuts.extend(&scan.extension_comments);
    }
    // One that has more in it than the dump brings cannot be dropped: what is run instead keeps it.
    cuts.extend(scan.schemas.iter().flat_map(|one| [one.drop, one.make]));
    cuts.sort_by_key(|span| span.offset);
    cuts
}

/// What of a part is loaded.
pub(super) fn kept(part: Span, cuts: &[Span]) -> Vec<Span> {
    let mut kept = Vec::new();
    let mut offset = part.offset;
    let first = cuts.partition_point(|cut| cut.end <= part.offset);
    for cut in cuts.iter().skip(first) {
        if cut.offset >= part.end {
            break;
        }
        if offset < cut.offset {
            kept.push(Span {
                offset,
                end: cut.offset,
            });
        }
        offset = offset.max(cut.end);
    }
    if offset < part.end {
        kept.push(Span {
            offset,
            end: part.end,
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: u64, end: u64) -> Span {
        Span { offset, end }
    }

    #[test]
    fn what_is_left_out_leaves_the_rest_in_its_order() {
        let part = span(10, 50);
        assert_eq!(kept(part, &[]), [part]);
        let cuts = [
            span(0, 5),
            span(8, 12),
            span(20, 25),
            span(25, 30),
            span(45, 99),
        ];
        assert_eq!(kept(part, &cuts), [span(12, 20), span(30, 45)]);
        assert_eq!(kept(part, &[span(0, 100)]), []);
        assert_eq!(kept(span(10, 10), &cuts), []);
    }
}
