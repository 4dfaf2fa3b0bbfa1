//! Makes cargo compile the crate again when a migration is added: the macro that embeds them can
//! only see those that it knows.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
