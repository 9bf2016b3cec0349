import MemberIO
import Members
import Platform

/// A bay for simulated members.
///
/// Threads: one.
final class SimulatedBay: RoleBay, MemberEndpoint, @unchecked Sendable {
    // SAFETY: a simulation has one thread.

    private let world: SimulatedWorld
    /// The member in the bay; nil while it is empty.
    private(set) var member: SimulatedMember?

    init(world: SimulatedWorld) { self.world = world }

    var place: MemberPlace { .endpoint(self) }

    func put(_ member: MemberPlace) -> Bool {
        guard case .endpoint(let endpoint) = member, let disk = endpoint as? SimulatedMember else { return false }
        self.member = disk
        return true
    }

    func clear() { member = nil }

    func makeChannel() throws(OSError) -> any MemberChannel {
        let channel = SimulatedChannel(world) { [unowned self] in member }
        world.channels.append(channel)
        return channel
    }

    func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus {
        member?.reserve(byteOffset: byteOffset, byteCount: byteCount) ?? .done
    }
}
