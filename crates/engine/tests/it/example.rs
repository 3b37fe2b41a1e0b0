//! What the examples show works.
#[path = "../../examples/sale.rs"]
mod sale;

#[test]
fn a_sale_runs_in_process_without_any_bus() {
    let outcome = sale::sale().unwrap();
    assert_eq!((outcome.status, outcome.sums.amount), (payterm_schema::Status::Approved, Some(1234)));
    sale::main().unwrap();
}
