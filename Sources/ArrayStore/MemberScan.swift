import MemberIO
import RAID

/// The members of one array, sorted into what they are for it.
struct MemberScan {
    let geometry: ArrayGeometry
    /// By role: members that are up to date.
    var members: [ArrayMember?]
    /// Members that the array goes on without, and why.
    var leftOut: [(store: any PlacedMember, reason: String)]
    /// The superblock that knows best.
    let newest: MDSuperblock

    /// Members may lag this far behind: a state change is written to one after another.
    private static let eventsLagMax: UInt64 = 1

    /// Reads the superblocks of an array's members, in whatever order they are given.
    /// - Parameter place: what messages call where the members are.
    init(_ stores: [any PlacedMember], place: String) throws(ArrayStoreError) {
        leftOut = []
        var found: [ArrayMember] = []
        for store in stores {
            switch try Self.read(store) {
            case .superblock(let superblock): found.append(ArrayMember(store: store, superblock: superblock))
            case .unusable(let reason): leftOut.append((store, reason))
            }
        }
        guard let first = found.first else {
            throw ArrayStoreError(
                leftOut.isEmpty
                    ? "\(place) holds no array; make one with: nbdext create \(place) --level 5 --members 4 --size 10G"
                    : "no member in \(place) can be used: \(leftOut[0].store.name): \(leftOut[0].reason)")
        }
        for member in found where member.superblock.setUUID != first.superblock.setUUID {
            throw ArrayStoreError(
                "\(first.store.name) and \(member.store.name) belong to different arrays; keep each array in a "
                    + "directory of its own")
        }
        newest = found.map(\.superblock).max { $0.events < $1.events }!
        geometry = try Self.geometry(of: newest, name: first.store.name)
        members = Array(repeating: nil, count: geometry.memberCount)
        for member in found { try sort(member) }
    }

    var missingRoles: [Int] { members.indices.filter { members[$0] == nil } }

    /// What is found where a superblock should be.
    private enum Reading {
        case superblock(MDSuperblock)
        case unusable(String)
    }

    private static func read(_ store: any PlacedMember) throws(ArrayStoreError) -> Reading {
        if let absence = store.absence { return .unusable(absence) }
        let bytes: [UInt8]
        do throws(MemberStoreError) {
            bytes = try store.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount)
        } catch { return .unusable("it cannot be read: \(error)") }
        do throws(MDSuperblock.Problem) {
            return .superblock(try MDSuperblock(parsing: bytes))
        } catch {
            switch error {
            case .noMagic: return .unusable("it has no superblock")
            case .wrongChecksum: return .unusable("its superblock is damaged (wrong checksum)")
            case .unsupported(let what):
                throw ArrayStoreError("\(store.name) uses \(what), which is not supported here; use Linux md for it")
            }
        }
    }

    private mutating func sort(_ member: ArrayMember) throws(ArrayStoreError) {
        let superblock = member.superblock
        let store = member.store
        guard superblock.level == newest.level, superblock.chunkSectors == newest.chunkSectors,
            superblock.memberCount == newest.memberCount
        else {
            throw ArrayStoreError(
                "\(store.name) disagrees with the other members about the array's shape; move it away")
        }
        let needed = (superblock.dataOffsetSectors + superblock.dataSectors) * 512
        guard store.byteCount >= needed else {
            let reason = "it was cut short: it has \(store.byteCount) bytes, and its superblock says \(needed)"
            return leftOut.append((store, reason))
        }
        let role = newest.role(ofDevice: superblock.deviceNumber)
        if role == MDSuperblock.roleFaulty || role == MDSuperblock.roleSpare {
            return leftOut.append((store, "failed"))
        }
        guard superblock.events + Self.eventsLagMax >= newest.events else {
            return leftOut.append((store, "stale: it missed changes"))
        }
        guard Int(role) < members.count else {
            throw ArrayStoreError(
                "\(store.name) has role \(role) in an array of \(members.count) members; move it away")
        }
        if let other = members[Int(role)] {
            throw ArrayStoreError("\(other.store.name) and \(store.name) are the same member; move the copy away")
        }
        members[Int(role)] = member
    }

    private static func geometry(of superblock: MDSuperblock, name: String) throws(ArrayStoreError) -> ArrayGeometry {
        do {
            return try superblock.geometry()
        } catch .unsupported(let what) {
            throw ArrayStoreError("the array of \(name) has \(what), which is not supported here")
        } catch {
            throw ArrayStoreError("the superblock of \(name) cannot be read")
        }
    }
}
