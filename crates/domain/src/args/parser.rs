//! From words to flags, by the table of a client's options.

use super::option::{Opt, Value, Verdict};
use super::{Args, ArgsError, Flag, Tool, postgres};
use crate::nearest::nearest;

/// Words in front of the name of an option of the MySQL family that switch it, and to what.
const PREFIXES: [(&str, bool); 3] = [("skip-", false), ("disable-", false), ("enable-", true)];

/// Judges `words` by the table of `tool`.
pub(super) fn parse(tool: Tool, words: Vec<String>) -> Result<Args, ArgsError> {
    let mut parser = Parser {
        tool,
        args: Args::default(),
        bare: Vec::new(),
        all_bare: None,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        parser.word(word, &mut words)?;
    }
    parser.end()
}

struct Parser {
    tool: Tool,
    args: Args,
    /// Words that are neither flags nor values of some.
    bare: Vec<String>,
    /// The option by which every bare word is a database, once there was one.
    all_bare: Option<&'static str>,
}

impl Parser {
    fn word(
        &mut self,
        word: String,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            self.long(long, rest)
        } else if let Some(letters) = word
            .strip_prefix('-')
            .filter(|l| !l.is_empty() && *l != "-")
        {
            self.short(letters, rest)
        } else if word.is_empty() || word == "-" || word == "--" || self.tool.bare_names() == 0 {
            Err(ArgsError::Operand(word))
        } else {
            self.bare.push(word);
            Ok(())
        }
    }

    fn long(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        // The clients treat `_` and `-` alike and ignore case in nothing; a lower-cased comparison
        // is stricter.
        let given = name.replace('_', "-").to_ascii_lowercase();
        let mut name = given.as_str();
        if self.tool.takes_prefixes() {
            name = name.strip_prefix("loose-").unwrap_or(name);
        }
        if let Some(option) = self.find(name)? {
            return self.accept(option, true, value, rest);
        }
        let prefixes = PREFIXES.iter().filter(|_| self.tool.takes_prefixes());
        for (prefix, on) in prefixes {
            if let Some(base) = name.strip_prefix(prefix)
                && let Some(option) = self.find(base)?
            {
                return self.accept(option, *on, value, rest);
            }
        }
        Err(ArgsError::Unknown {
            tool: self.tool,
            nearest: nearest(name, self.tool.options().iter().map(|option| option.name)),
            flag: given,
        })
    }

    fn short(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        for (at, letter) in letters.char_indices() {
            let mut options = self.tool.options().iter();
            let Some(option) = options.find(|option| option.short == Some(letter)) else {
                return Err(ArgsError::Refused {
                    flag: format!("-{letter}"),
                    why: "is a short form we do not know (write the flag in full)",
                });
            };
            let tail = &letters[at + letter.len_utf8()..];
            if option.value == Value::Needed {
                let value = Some(tail.to_owned()).filter(|tail| !tail.is_empty());
                return self.accept(option, true, value, rest);
            }
            self.accept(option, true, None, rest)?;
        }
        Ok(())
    }

    /// The option of that name, or the one that `name` abbreviates. An abbreviation that could mean
    /// a refused option counts as that option, whatever else it could mean.
    fn find(&self, name: &str) -> Result<Option<&'static Opt>, ArgsError> {
        let options = self.tool.options();
        if let Some(exact) = options.iter().find(|option| option.name == name) {
            return Ok(Some(exact));
        }
        let mut fitting = options
            .iter()
            .filter(|option| option.name.starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(Some(only)),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => {
                let mut fitting = options
                    .iter()
                    .filter(|option| option.name.starts_with(name));
                let refused = fitting.find_map(|option| match option.on {
                    Verdict::Refuse(why) => Some(refused(option.name, why)),
                    _ => None,
                });
                Err(refused.unwrap_or_else(|| ArgsError::Ambiguous(name.to_owned())))
            }
        }
    }

    /// Takes an option that is given (`on`) or switched off.
    fn accept(
        &mut self,
        option: &'static Opt,
        on: bool,
        value: Option<String>,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        let on = match option.value {
            // Twice off is on.
            Value::Switch => on == self.switched(option, value.as_deref())?,
            Value::Joined | Value::Needed => on,
        };
        let name = match on {
            true => option.name.to_owned(),
            false => format!("skip-{}", option.name),
        };
        let verdict = option.verdict(on);
        if let Verdict::Refuse(why) = verdict {
            return Err(refused(&name, why));
        }
        let value = match (option.value, on, value) {
            (Value::Needed, true, None) => Some(
                rest.next()
                    .ok_or_else(|| ArgsError::MissingValue(name.clone()))?,
            ),
            (Value::Needed | Value::Joined, true, value) => value,
            (Value::Switch, ..) | (_, false, _) => None,
        };
        let word = match &value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
        match verdict {
            Verdict::AllDatabases => self.args.all_databases = true,
            Verdict::Databases => self.all_bare = Some(option.name),
            Verdict::Database => match value {
                Some(value) => self.name(&format!("--{name}"), value)?,
                // Its database is a bare word.
                None => self.all_bare = Some(option.name),
            },
            Verdict::Left(why) => self.note(format!("--{name} is left out: {why}")),
            Verdict::As(words, why) => {
                self.note(format!("--{name} became {}: {why}", words.join(" ")));
                self.args
                    .flags
                    .extend(words.iter().map(|word| stands_for(word)));
            }
            Verdict::Only(accepted, why) => {
                let given = value.as_deref().unwrap_or_default();
                if !accepted.iter().any(|one| one.eq_ignore_ascii_case(given)) {
                    return Err(refused(&name, why));
                }
                self.push(option, name, word);
            }
            Verdict::Told(what) => {
                self.note(format!("--{name}: {what}"));
                self.push(option, name, word);
            }
            Verdict::Omits(what) => {
                self.args.omits.push(format!("{word}: {what}"));
                self.push(option, name, word);
            }
            Verdict::Pass | Verdict::Refuse(_) => self.push(option, name, word),
        }
        Ok(())
    }

    fn push(&mut self, option: &'static Opt, name: String, word: String) {
        self.args.flags.push(Flag {
            name,
            word,
            option: option.name,
        });
    }

    fn note(&mut self, note: String) {
        if !self.args.notes.contains(&note) {
            self.args.notes.push(note);
        }
    }

    /// What a value says of an option that is on or off, as the clients read it.
    fn switched(&self, option: &Opt, value: Option<&str>) -> Result<bool, ArgsError> {
        let Some(value) = value else { return Ok(true) };
        match value.to_ascii_lowercase().as_str() {
            "1" | "true" | "on" if self.tool.takes_prefixes() => Ok(true),
            "0" | "false" | "off" if self.tool.takes_prefixes() => Ok(false),
            _ => Err(ArgsError::Switch(option.name.to_owned())),
        }
    }

    /// Takes note of a database's name. PostgreSQL's programs take an address in its place.
    fn name(&mut self, flag: &str, name: String) -> Result<(), ArgsError> {
        let is_address = name.contains('=') || name.contains("://");
        if is_address && !self.tool.takes_prefixes() {
            return Err(ArgsError::Refused {
                flag: flag.to_owned(),
                why: postgres::ADDRESS,
            });
        }
        if name.is_empty() {
            return Err(ArgsError::MissingValue(
                flag.trim_start_matches('-').to_owned(),
            ));
        }
        if self.tool.loads()
            && let Some(first) = self.args.databases.first()
            && *first != name
        {
            return Err(ArgsError::SecondName {
                tool: self.tool,
                first: first.clone(),
                second: name,
            });
        }
        if !self.args.databases.contains(&name) {
            self.args.databases.push(name);
        }
        Ok(())
    }

    fn end(mut self) -> Result<Args, ArgsError> {
        let bare = std::mem::take(&mut self.bare);
        let most = match self.all_bare {
            Some(_) if !self.tool.loads() => usize::MAX,
            _ => self.tool.bare_names(),
        };
        if let Some(second) = bare.get(most) {
            return Err(ArgsError::SecondName {
                tool: self.tool,
                first: bare[most - 1].clone(),
                second: second.clone(),
            });
        }
        for name in bare {
            self.name("the database's name", name)?;
        }
        match self.all_bare {
            Some(option) if self.args.databases.is_empty() => {
                Err(ArgsError::MissingValue(option.to_owned()))
            }
            _ => Ok(self.args),
        }
    }
}

fn refused(name: &str, why: &'static str) -> ArgsError {
    ArgsError::Refused {
        flag: format!("--{name}"),
        why,
    }
}

/// A flag that the table has in the place of another one.
fn stands_for(word: &'static str) -> Flag {
    let name = word.trim_start_matches('-');
    Flag {
        name: name.to_owned(),
        word: word.to_owned(),
        option: name.strip_prefix("skip-").unwrap_or(name),
    }
}
