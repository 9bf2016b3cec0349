import ArrayStore
import MDFormat
import Platform
import RAID
import TestTraits
import Testing

@testable import Simulation

/// Crashes at each I/O of each change of members, in each state: whoever was good is good afterwards, whoever was not
/// is not taken for it, and the array can be opened and changed again.
@Suite("Crashes while members come and go", .blocks, .slow)
struct MembershipCrashTests {
    private static let memberCount = 3

    /// What the array is like before.
    enum State: CaseIterable, Sendable {
        case whole, wholeWithSpare, degraded, degradedWithSpare, recovering, recoveringInFull, replacing
        case replacingInFull, returning
    }

    /// What happens to it.
    enum Change: Equatable, Sendable, CustomTestStringConvertible {
        case fail(Role)
        case activate
        case replace(Role)
        case cancel, failReplacement, record, end, add, remove, mark, dirty, close

        static let all: [Change] =
            (0..<memberCount).map { Role(index: $0) }.flatMap { [.fail($0), .replace($0)] }
            + [.activate, .cancel, .failReplacement, .record, .end, .add, .remove, .mark, .dirty, .close]

        var testDescription: String { "\(self)" }
    }

    /// An array on simulated disks: the members by role, and two more.
    private final class Life {
        let world: SimulatedWorld
        let disks: [SimulatedMember]
        let array: OpenedArray
        /// The disks that have all of the data.
        private(set) var complete: Set<String>

        init(_ state: State, _ consistency: ArrayConsistency) throws {
            let plan = ArrayStore.Plan(
                level: .raid5, memberCount: memberCount, byteCount: 64 << 10, chunkByteCount: 4096, name: "r",
                consistency: consistency)
            let world = SimulatedWorld(random: SeededGenerator(seed: 1))
            self.world = world
            disks = (0..<memberCount + 2).map {
                SimulatedMember(name: "disk \($0)", byteCount: plan.memberByteCount, world: world)
            }
            var generator = SeededGenerator(seed: 2)
            try ArrayStore.format(Array(disks[..<memberCount]), plan: plan, time: 1, using: &generator)
            array = try Self.open(Array(disks[..<memberCount]), world)
            complete = Set(disks[..<memberCount].map(\.name))
            try bring(to: state)
        }

        private static func open(_ disks: [SimulatedMember], _ world: SimulatedWorld) throws -> OpenedArray {
            let environment = ArrayStore.Environment(
                clock: { 1 }, report: { _, _ in }, makeBay: { SimulatedBay(world: world) })
            return try ArrayStore.open(members: disks, directory: "the test", readOnly: false, in: environment)
        }

        func reopen() throws -> OpenedArray { try Self.open(disks, world) }

        private func bring(to state: State) throws {
            let all = array.geometry.memberDataByteCount
            if state == .returning {
                #expect(array.recordFailure(role: 0))
                #expect(try array.add(disks[0]) == .returning)
                complete.remove("disk 0")
                return
            }
            if state != .whole && state != .degraded { _ = try array.add(disks[Life.spareNumber]) }
            switch state {
            case .whole, .wholeWithSpare, .returning: break
            case .degraded, .degradedWithSpare: fail()
            case .recovering, .recoveringInFull:
                fail()
                _ = try array.activateSpare()
                try array.recordRecovery(byteCount: state == .recovering ? all / 2 : all)
            case .replacing, .replacingInFull:
                try array.beginReplacement(of: 1, by: nil)
                try array.recordRecovery(byteCount: state == .replacing ? all / 2 : all)
            }
            if state == .recoveringInFull || state == .replacingInFull {
                complete.insert(disks[Life.spareNumber].name)
            }
        }

        private static let spareNumber = memberCount

        private func fail() {
            #expect(array.recordFailure(role: 0))
            complete.remove(disks[0].name)
        }

        /// Whether a user or the array would do that in the present state.
        func may(_ change: Change, in state: State) -> Bool {
            switch change {
            case .fail, .add, .mark, .dirty, .close: true
            case .activate: [.degradedWithSpare, .returning].contains(state)
            case .replace: state == .wholeWithSpare
            case .cancel, .failReplacement: [.replacing, .replacingInFull].contains(state)
            case .record: array.recoveringMember != nil || array.replacementState != nil
            case .end: [.recoveringInFull, .replacingInFull].contains(state)
            case .remove:
                array.memberStates.contains { $0.condition == .failed || $0.condition == .spare }
            }
        }

        func make(_ change: Change) {
            switch change {
            case .fail(let role): array.recordFailure(role: role)
            case .activate: _ = try? array.activateSpare()
            case .replace(let role): try? array.beginReplacement(of: role, by: nil)
            case .cancel: array.endReplacement(isFaulty: false)
            case .failReplacement: array.endReplacement(isFaulty: true)
            case .record:
                try? array.recordRecovery(byteCount: array.geometry.memberDataByteCount / 4 * 3)
            case .end: _ = try? array.endRecovery()
            case .add: _ = try? array.add(disks[memberCount + 1])
            case .remove: _ = try? array.remove { $0.condition == .failed || $0.condition == .spare }
            case .mark: try? array.renewMark()
            case .dirty: try? array.markDirty()
            case .close: try? array.close()
            }
        }

        func crash(powerFails: Bool) {
            world.goDown()
            for disk in disks { disk.crash(powerFails: powerFails) }
            world.comeUp()
        }
    }

    @Test(
        "no crash costs a good member, or makes a bad one good",
        arguments: State.allCases, [ArrayConsistency.resync, .bitmap, .ppl])
    func crashes(state: State, consistency: ArrayConsistency) throws {
        // Only the bitmap knows what a member that comes back has missed.
        guard state != .returning || consistency == .bitmap else { return }
        for change in Change.all {
            // A process that dies loses less than a machine.
            for powerFails in consistency == .resync ? [false, true] : [true] {
                var count = 0
                while try !crash(change, in: state, consistency, after: count, powerFails: powerFails) {
                    count += 1
                    #expect(count < 1000)
                }
            }
        }
    }

    /// - Returns: whether the change was over before the crash, or cannot come.
    private func crash(
        _ change: Change, in state: State, _ consistency: ArrayConsistency, after count: Int, powerFails: Bool
    ) throws -> Bool {
        let life = try Life(state, consistency)
        guard life.may(change, in: state) else { return true }
        let missingBefore = Set(life.array.failedMembers)
        life.world.setSynchronousCrash(after: count)
        life.make(change)
        let isOver = !life.world.isDown
        let (missing, isLost) = (Set(life.array.failedMembers), life.array.health == .failed)
        life.crash(powerFails: powerFails)
        let label: Comment = "\(state), \(change), \(consistency), \(count) I/Os, power fails: \(powerFails)"
        // A second failure loses the array, and writes nothing. It is dirty and degraded only where it was marked so.
        let isLostByChange: Bool =
            if case .fail(let role) = change { missingBefore.union([role]).count > 1 } else { false }
        let isRefused = change == .dirty && !missingBefore.isEmpty && consistency != .ppl
        guard !isRefused else {
            _ = try? life.reopen()
            return isOver
        }
        let again: OpenedArray
        do { again = try life.reopen() } catch {
            Issue.record("\(label): \(error)")
            return true
        }
        for case (let role, let member?) in again.members.enumerated() {
            let isGood = life.complete.contains(member.store.name)
            #expect(isGood, "\(label): role \(role) has \(member.store.name), which lacks data")
        }
        let found = Set(again.failedMembers)
        if !isLostByChange {
            #expect(found.isSubset(of: missingBefore.union(isOver ? missing : changed(by: change))), label)
            if isOver && !isLost { #expect(found == missing, label) }
        }
        guard powerFails else { return isOver }
        // It goes on.
        #expect(throws: Never.self, label) { try again.markDirty() }
        #expect(throws: Never.self, label) { try again.close() }
        #expect(Set(try life.reopen().failedMembers) == found, label)
        return isOver
    }

    /// The roles that may be missing while a change is made.
    private func changed(by change: Change) -> Set<Role> { if case .fail(let role) = change { [role] } else { [] } }
}
