/// A first-in first-out list of operations, linked through their `link` fields.
struct OperationList: BitwiseCopyable {
    private var head: Int32 = -1
    private var tail: Int32 = -1

    var isEmpty: Bool { head < 0 }
    var first: Int32? { head < 0 ? nil : head }

    mutating func append(_ index: Int32, in operations: UnsafeMutablePointer<StripeOperation>) {
        operations[Int(index)].link = -1
        if tail >= 0 { operations[Int(tail)].link = index } else { head = index }
        tail = index
    }

    mutating func popFirst(in operations: UnsafeMutablePointer<StripeOperation>) -> Int32? {
        guard head >= 0 else { return nil }
        let index = head
        head = operations[Int(index)].link
        if head < 0 { tail = -1 }
        return index
    }
}
