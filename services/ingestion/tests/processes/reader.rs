//! Reads documents for the tests, as the program does for the service.

fn main() -> std::io::Result<()> {
    ingestion::read_document(&std::env::args().skip(1).collect::<Vec<_>>())
}
