/// A first-in first-out list of operations, linked through their `link` fields.
struct OperationList: BitwiseCopyable {
    private var head = OperationIndex.none
    private var tail = OperationIndex.none

    var isEmpty: Bool { head.isNone }
    var first: OperationIndex? { head.isNone ? nil : head }

    /// The operation behind another one of the list, or nil.
    func next(of index: OperationIndex, in operations: UnsafeMutablePointer<StripeOperation>) -> OperationIndex? {
        operations[index].link.isNone ? nil : operations[index].link
    }

    mutating func append(_ index: OperationIndex, in operations: UnsafeMutablePointer<StripeOperation>) {
        assert(index != tail, "the operation is the last of the list already")
        operations[index].link = .none
        if tail.isNone { head = index } else { operations[tail].link = index }
        tail = index
    }

    mutating func popFirst(in operations: UnsafeMutablePointer<StripeOperation>) -> OperationIndex? {
        guard !head.isNone else { return nil }
        let index = head
        head = operations[index].link
        assert(!head.isNone || index == tail, "the list was cut off in front of its end")
        if head.isNone { tail = .none }
        return index
    }
}
