/// A member's number in its array: md's `raid_disk`. It says which chunks the member holds.
///
/// A role is no place (`Place`, where member I/O goes): a replacement has a place and no role of its own.
@usableFromInline
package struct Role: RawRepresentable, BitwiseCopyable, Hashable, Comparable, Sendable {
    /// The number, from 0.
    @usableFromInline package let rawValue: UInt8

    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The role with a number.
    @inlinable package init(index: Int) { self.init(rawValue: UInt8(index)) }

    /// The number, for tables with an entry for each role.
    @inlinable package var index: Int { Int(rawValue) }

    @inlinable package static func == (left: Role, right: Role) -> Bool { left.rawValue == right.rawValue }
    @inlinable package static func < (left: Role, right: Role) -> Bool { left.rawValue < right.rawValue }
}

extension Role: ExpressibleByIntegerLiteral {
    /// A role that is written as a number in the source.
    @inlinable package init(integerLiteral value: UInt8) { self.init(rawValue: value) }
}

extension Role: CustomStringConvertible {
    /// The number, for messages.
    @usableFromInline package var description: String { String(rawValue) }
}

/// All roles of an array, in their order.
@usableFromInline
package struct Roles: Sequence, IteratorProtocol, Sendable {
    @usableFromInline var position: Int
    @usableFromInline let count: Int

    /// - Parameter count: how many members the complete array has.
    @inlinable package init(count: Int) {
        position = 0
        self.count = count
    }

    /// Takes the next role, as an iterator.
    @inlinable package mutating func next() -> Role? {
        guard position < count else { return nil }
        defer { position += 1 }
        return Role(rawValue: UInt8(truncatingIfNeeded: position))
    }
}

extension Array {
    /// The entry of a role, in a table that has one for each role.
    @inlinable package subscript(role: Role) -> Element {
        get { self[role.index] }
        _modify { yield &self[role.index] }
    }
}

extension UnsafeMutablePointer {
    /// The entry of a role, in a table that has one for each role.
    @inlinable package subscript(role: Role) -> Pointee {
        unsafeAddress { UnsafePointer(self + role.index) }
        nonmutating unsafeMutableAddress { self + role.index }
    }

    /// The address of a role's entry.
    @inlinable package static func + (table: Self, role: Role) -> Self { table + role.index }
}

extension Role {
    /// The role that an entry of a superblock's role table stands for; nil for a spare, a faulty member or a journal,
    /// and for a number that no array has.
    package init?(entry: UInt16) {
        guard let number = UInt8(exactly: entry) else { return nil }
        self.init(rawValue: number)
    }

    /// The entry that stands for the role in a superblock's role table.
    package var entry: UInt16 { UInt16(rawValue) }
}
