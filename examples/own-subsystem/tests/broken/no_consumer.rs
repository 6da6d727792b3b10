//! A node in which nobody answers `FetchCollation`.
use messages::candidate_backing::CandidateBacking;
use messages::candidate_selection::CandidateSelection;
use own_subsystem::Loyal;

overseer::node! {
    struct Small, built by SmallBuilder { candidate_selection: CandidateSelection, candidate_backing: CandidateBacking }
}

fn wire(builder: SmallBuilder, loyal: Loyal) -> SmallBuilder {
    builder.candidate_selection(loyal)
}

fn main() {}
