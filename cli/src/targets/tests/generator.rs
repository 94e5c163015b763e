//! Random sets of the grammar that ClusterShell has too.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What a set has in it, with that of its groups.
#[derive(Debug, Default, Clone, Copy)]
pub struct Traits {
    pub operators: usize,
    pub padded: bool,
    pub dimensions: usize,
    pub groups: bool,
    pub wildcards: bool,
    pub steps: bool,
}

impl Traits {
    fn join(&mut self, other: Self) {
        self.operators += other.operators;
        self.padded |= other.padded;
        self.dimensions = self.dimensions.max(other.dimensions);
        self.groups |= other.groups;
        self.wildcards |= other.wildcards;
        self.steps |= other.steps;
    }
}

/// A source of groups: its name, and its groups with their sets.
pub type Source = (String, Vec<(String, String)>);

pub struct Generator {
    pub random: Random,
    pub sources: Vec<Source>,
    /// Of each group, as its source has it.
    traits: Vec<Vec<Traits>>,
    /// ClusterShell takes blanks in groups for commas.
    blanks: bool,
}

const SOURCES: [&str; 2] = ["main", "other"];
const GROUPS: u64 = 60;
const OPERATORS_MAX: u64 = 5;
const GROUP_OPERATORS_MAX: u64 = 2;

impl Generator {
    /// Makes groups, of which later ones refer to earlier ones.
    pub fn new(seed: u64) -> Self {
        let mut made =
            Self { random: Random::new(seed), sources: Vec::new(), traits: Vec::new(), blanks: false };
        for name in SOURCES {
            made.sources.push((name.to_owned(), Vec::new()));
            made.traits.push(Vec::new());
            let own = made.sources.len() - 1;
            // Few names, so that wildcards stay small.
            let all = "web[1-12],r[1-3]n[01-04],db0[1-3],node[8-11]-ib[0-1],login";
            made.sources[own].1.push(("all".to_owned(), all.to_owned()));
            made.traits[own].push(Traits { padded: true, dimensions: 2, ..Traits::default() });
            for number in 1..=GROUPS {
                let (set, traits) = made.set(own, GROUP_OPERATORS_MAX);
                made.sources[own].1.push((format!("g{number}"), set));
                made.traits[own].push(traits);
            }
        }
        made.blanks = true;
        made
    }

    pub fn expression(&mut self) -> (String, Traits) {
        self.set(0, OPERATORS_MAX)
    }

    /// Terms and operators. `source` is that of groups without one.
    fn set(&mut self, source: usize, operators_max: u64) -> (String, Traits) {
        let (mut text, mut traits) = self.term(source);
        for _ in 0..self.random.below(operators_max + 1) {
            let operator = self.random.of(&[",", ",", "!", "&", "^", " , ", " ! ", "& ", " ^"]);
            text.push_str(if self.blanks { operator } else { operator.trim() });
            let (term, more) = self.term(source);
            text.push_str(&term);
            traits.join(more);
            traits.operators += 1;
        }
        (text, traits)
    }

    fn term(&mut self, source: usize) -> (String, Traits) {
        let groups = self.sources[source].1.len() as u64;
        if groups > 1 && self.random.percent(12) {
            return self.group(source);
        }
        if self.random.percent(3) {
            let text = self.random.of(&["web*", "r?n0[1-3]", "*", "node1?-ib*", "?b01", "w*[1-3]", "none*"]);
            return (text.to_owned(), Traits { wildcards: true, ..Traits::default() });
        }
        self.names()
    }

    fn group(&mut self, source: usize) -> (String, Traits) {
        // A later source may refer to an earlier one.
        let other = self.random.below(source as u64 + 1) as usize;
        let prefix = if other == source { String::new() } else { format!("{}:", SOURCES[other]) };
        let groups = self.sources[other].1.len() as u64;
        let mut traits = Traits { groups: true, ..Traits::default() };
        if self.random.percent(10) {
            return (format!("@{prefix}*"), traits);
        }
        let first = 1 + self.random.below(groups - 1);
        let last = (first + self.random.below(3)).min(groups - 1);
        for group in first..=last {
            traits.join(self.traits[other][group as usize]);
        }
        let range = if first == last { first.to_string() } else { format!("[{first}-{last}]") };
        (format!("@{prefix}g{range}"), traits)
    }

    /// Names of few patterns, so that operators find something in common.
    fn names(&mut self) -> (String, Traits) {
        let pieces: &[&str] = match self.random.below(20) {
            0..=6 => &["web", ""],
            7..=8 => &["db-", "x"],
            9..=11 => &["r", "n", ""],
            12..=13 => &["node", "-ib", ".lan"],
            14 => &["c", "s", "b", ""],
            15 => &["10.1.", ".", ""],
            16 => &["p_", ".", ""],
            17 => &["", "a"],
            18 => &["login"],
            _ => &["x", "y", "z", "w", ""],
        };
        let mut text = pieces[0].to_owned();
        let mut traits = Traits { dimensions: pieces.len() - 1, ..Traits::default() };
        for piece in &pieces[1..] {
            text.push_str(&self.index(&mut traits));
            text.push_str(piece);
        }
        (text, traits)
    }

    /// A number, or brackets with ranges, perhaps with digits beside them.
    fn index(&mut self, traits: &mut Traits) -> String {
        let width = if self.random.percent(35) { 1 + self.random.below(3) as usize } else { 0 };
        if self.random.percent(30) {
            let number = self.number();
            let text = format!("{number:0width$}");
            traits.padded |= is_padded(&text);
            return text;
        }
        if self.random.percent(8) {
            return self.beside_digits(traits);
        }
        // ClusterShell compares each point of several dimensions with each other one.
        let items = self.random.below(if traits.dimensions == 1 { 4 } else { 2 });
        let ranges: Vec<String> = (0..=items).map(|_| self.range(traits, width)).collect();
        let blank = if self.blanks && self.random.percent(5) { " " } else { "" };
        format!("[{blank}{}{blank}]", ranges.join(&format!("{blank},")))
    }

    /// Brackets with digits before or after them. ClusterShell puts these to the ends of the ranges, so
    /// only ends with two digits mean the same to both: clustershell.rs has exceptions.
    fn beside_digits(&mut self, traits: &mut Traits) -> String {
        let first = 10 + self.random.below(80);
        let last = first + self.random.below(4);
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let pad = if self.random.percent(30) { "0" } else { "" };
        traits.padded |= !pad.is_empty();
        let range = range.split('-').map(|end| format!("{pad}{end}")).collect::<Vec<_>>().join("-");
        let digits = self.random.below(100);
        if self.random.percent(50) { format!("{digits}[{range}]") } else { format!("[{range}]{digits}") }
    }

    fn range(&mut self, traits: &mut Traits, width: usize) -> String {
        let first = self.number();
        let spread = match traits.dimensions {
            1 if self.random.percent(15) => 40,
            1 => 6,
            2 => 4,
            3 => 3,
            _ => 2,
        };
        let mut last = first + self.random.below(spread);
        let mut text = format!("{first:0width$}");
        traits.padded |= is_padded(&text);
        if first == last {
            return text;
        }
        if text.len() != last.to_string().len().max(width) && is_padded(&text) {
            // The largest number that is as wide.
            last = 10u64.pow(text.len() as u32) - 1;
        }
        text.push_str(&format!("-{last:0width$}"));
        if self.random.percent(12) {
            traits.steps = true;
            text.push_str(&format!("/{}", 1 + self.random.below(4)));
        }
        text
    }

    /// Mostly small, often near a number of more digits.
    fn number(&mut self) -> u64 {
        match self.random.below(10) {
            0..=6 => self.random.below(14),
            7 => 95 + self.random.below(10),
            8 => self.random.below(130),
            _ => 995 + self.random.below(10),
        }
    }
}

fn is_padded(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}
