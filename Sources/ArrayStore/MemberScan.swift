import Glibc
import RAID

/// The members that a directory holds, sorted into what they are for its array.
struct MemberScan {
    let geometry: ArrayGeometry
    /// By role: files that are up to date.
    var members: [MemberFile?]
    /// Files of the array that it has gone on without, and why.
    var leftOut: [(file: MemberFile, reason: String)] = []
    /// The superblock that knows best.
    let newest: MDSuperblock

    /// Members may lag this far behind: a state change is written to one after another.
    private static let eventsLagMax: UInt64 = 1

    /// Opens every member in a directory, by content and not by name.
    init(directory: String, readOnly: Bool) throws(ArrayStoreError) {
        let files = try Self.openFiles(directory: directory, readOnly: readOnly)
        guard let first = files.first else {
            throw ArrayStoreError(
                "\(directory) holds no array; make one with: nbdext create \(directory) --level 5 "
                    + "--members 4 --size 10G")
        }
        for file in files where file.superblock.setUUID != first.superblock.setUUID {
            throw ArrayStoreError(
                "\(first.path) and \(file.path) belong to different arrays; keep each array in a "
                    + "directory of its own")
        }
        newest = files.map(\.superblock).max { $0.events < $1.events }!
        geometry = try Self.geometry(of: newest, path: first.path)
        members = Array(repeating: nil, count: geometry.memberCount)
        for file in files { try place(file) }
    }

    var missingRoles: [Int] { members.indices.filter { members[$0] == nil } }

    private mutating func place(_ file: MemberFile) throws(ArrayStoreError) {
        let superblock = file.superblock
        guard superblock.level == newest.level, superblock.chunkSectors == newest.chunkSectors,
            superblock.memberCount == newest.memberCount
        else {
            throw ArrayStoreError("\(file.path) disagrees with the other members about the array's shape; move it away")
        }
        let needed = (superblock.dataOffsetSectors + superblock.dataSectors) * 512
        guard file.byteCount >= needed else {
            throw ArrayStoreError(
                "\(file.path) is \(file.byteCount) bytes, but its superblock says \(needed): it was cut "
                    + "short; restore it, or move it away to serve the array without it")
        }
        let role = newest.role(ofDevice: superblock.deviceNumber)
        if role == MDSuperblock.roleFaulty || role == MDSuperblock.roleSpare {
            return leftOut.append((file, "failed"))
        }
        guard superblock.events + Self.eventsLagMax >= newest.events else {
            return leftOut.append((file, "stale: it missed changes"))
        }
        guard Int(role) < members.count else {
            throw ArrayStoreError("\(file.path) has role \(role) in an array of \(members.count) members; move it away")
        }
        if let other = members[Int(role)] {
            throw ArrayStoreError("\(other.path) and \(file.path) are the same member; move the copy away")
        }
        members[Int(role)] = file
    }

    private static func geometry(of superblock: MDSuperblock, path: String) throws(ArrayStoreError) -> ArrayGeometry {
        do {
            return try superblock.geometry()
        } catch .unsupported(let what) {
            throw ArrayStoreError("the array of \(path) has \(what), which is not supported here")
        } catch {
            throw ArrayStoreError("the superblock of \(path) cannot be read")
        }
    }

    static func openFiles(directory: String, readOnly: Bool) throws(ArrayStoreError) -> [MemberFile] {
        guard let stream = opendir(directory) else {
            throw ArrayStoreError("cannot open the directory \(directory): \(String(cString: strerror(errno)))")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        var files: [MemberFile] = []
        for name in names.sorted() {
            let path = "\(directory)/\(name)"
            var information = stat()
            guard stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { continue }
            if let file = try MemberFile(path: path, readOnly: readOnly) { files.append(file) }
        }
        return files
    }
}
