//! Money always ends matched: whatever was captured, however its webhooks came, and whatever had become of
//! the order. [`table`] goes through every pair of these; [`random`] draws long stories of them. Both ask the
//! sandbox, whose books are its own, what was captured and given back, and [`books`] holds ours against them.

mod books;
mod model;
mod player;
mod random;
mod table;
mod table_cells;
mod tellings;
