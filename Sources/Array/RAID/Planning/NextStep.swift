/// What becomes of an operation after a step that a part of the planner has taken.
enum NextStep: BitwiseCopyable {
    /// I/O of the step is under way, or the answer to a test.
    case wait
    /// It begins anew, for the members that are there now.
    case begin
    /// It locks whole blocks, instead of what it has locked, and begins anew.
    case lockBlocks
    /// It starts from its first column, with the stripe range that it has.
    case start
    /// It is over, with this status or a worse one that it has already.
    case end(ArrayStatus)
}
