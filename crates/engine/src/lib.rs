//! The CPU: same-ISA translation of basic blocks with an inline software TLB.
