//! A candidate selection in the slot of candidate backing.
use messages::candidate_backing::CandidateBacking;
use messages::collation_distribution::CollationDistribution;
use own_subsystem::Loyal;

overseer::node! {
    struct Small, built by SmallBuilder { candidate_backing: CandidateBacking, collation_distribution: CollationDistribution }
}

fn wire(builder: SmallBuilder, loyal: Loyal) -> SmallBuilder {
    builder.candidate_backing(loyal)
}

fn main() {}
