/// Kinds that counters tell apart. The raw values are positions: from 0, without gaps.
package protocol CountedKind: CaseIterable, RawRepresentable<Int>, Sendable {
    /// The kind's name in reports.
    var name: String { get }
}

/// The kinds of requests to an export.
package enum RequestKind: Int, CountedKind {
    case read, write, flush, trim, zero

    package var name: String { "\(self)" }
}

/// The kinds of operations on a member.
package enum MemberOperationKind: Int, CountedKind {
    case read, write, punch, zero, flush, durableWrite, reread

    package var name: String { self == .durableWrite ? "durable_write" : "\(self)" }
}

/// A value for each kind.
package struct KindTable<Kind: CountedKind, Value> {
    /// The values, in the order of `Kind.allCases`.
    package private(set) var values: [Value]

    /// - Parameter value: gives the value of a kind.
    package init(_ value: (Kind) throws -> Value) rethrows { values = try Kind.allCases.map(value) }

    /// The value of a kind.
    package subscript(kind: Kind) -> Value {
        get { values[kind.rawValue] }
        set { values[kind.rawValue] = newValue }
    }

    /// Each kind with its value.
    package var pairs: [(kind: Kind, value: Value)] { zip(Kind.allCases, values).map { ($0, $1) } }
}

extension KindTable: Sendable where Value: Sendable {}
extension KindTable: Equatable where Value: Equatable {}
