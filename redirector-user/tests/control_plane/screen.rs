//! What a person sees of a program that draws on a terminal: as much of one as a library that draws by cells uses.

/// A terminal of 80 by 24.
pub(crate) struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// What is there after all these octets.
    pub(crate) fn after(text: &str) -> String {
        let mut screen = Self {
            cells: vec![vec![' '; WIDTH]; HEIGHT],
            row: 0,
            column: 0,
        };
        let mut rest = text.chars();
        while let Some(letter) = rest.next() {
            match letter {
                '\u{1b}' => screen.sequence(&mut rest),
                '\r' => screen.column = 0,
                '\n' => screen.row = (screen.row + 1).min(HEIGHT - 1),
                letter if !letter.is_control() => screen.put(letter),
                _ => {}
            }
        }
        let rows = screen.cells.iter();
        let rows = rows.map(|row| row.iter().collect::<String>().trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n")
    }

    fn put(&mut self, letter: char) {
        if let Some(cell) = self
            .cells
            .get_mut(self.row)
            .and_then(|row| row.get_mut(self.column))
        {
            *cell = letter;
        }
        self.column += 1;
    }

    /// A control sequence (ECMA-48): parameters, and a letter that says what they are for.
    fn sequence(&mut self, rest: &mut std::str::Chars<'_>) {
        if rest.next() != Some('[') {
            return;
        }
        let mut parameters = String::new();
        for letter in rest.by_ref() {
            if !('@'..='~').contains(&letter) {
                parameters.push(letter);
                continue;
            }
            let number = |place: usize| {
                let text = parameters.split(';').nth(place).unwrap_or_default();
                text.parse::<usize>().unwrap_or(1)
            };
            match letter {
                'H' => (self.row, self.column) = (number(0) - 1, number(1) - 1),
                'J' => self.cells = vec![vec![' '; WIDTH]; HEIGHT],
                _ => {}
            }
            return;
        }
    }
}

const WIDTH: usize = 80;
const HEIGHT: usize = 24;
