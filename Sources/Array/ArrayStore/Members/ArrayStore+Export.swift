import Glibc
import RAID

/// Exports of other servers that become members of an array that is being served.
extension ArrayStore {
    /// Connects to an export. Makes a file in the array's directory that names it, unless there is one.
    /// - Returns: the member, and the path of the file if it was made.
    static func prepareExport(
        uri: String, for array: OpenedArray
    ) throws(ArrayStoreError) -> (store: any PlacedMember, made: String?) {
        if let path = try MemberDirectory.link(to: uri, in: array.directory) {
            return (try prepareLink(path, for: array), nil)
        }
        let path = newLinkPath(array.directory)
        let (directory, name, descriptor) = try makeFile(path)
        defer { close(descriptor) }
        do throws(ArrayStoreError) {
            try NewMember.write(uri + "\n", to: descriptor, for: path)
            let member = try prepareLink(path, for: array)
            MemberDirectory.flush(array.directory)
            return (member, path)
        } catch {
            directory.remove(name)
            throw error
        }
    }

    /// Connects to the export that a file in the array's directory names. Its content may be overwritten, unless it is
    /// a member of another array.
    static func prepareLink(_ path: String, for array: OpenedArray) throws(ArrayStoreError) -> any PlacedMember {
        guard !array.memberStates.contains(where: { $0.file == path }) else {
            throw ArrayStoreError("\(path) is a member of the array already")
        }
        // A second connection would find the file locked.
        array.letGoOfAbsent(path)
        let member: LinkedMember
        do throws(ArrayStoreError) {
            let file = try MemberFile(path: path, readOnly: false)
            try file.lock()
            let uri = try LinkedMember.readURI(file)
            guard !array.memberStates.contains(where: { $0.path == uri }) else {
                throw ArrayStoreError("\(uri) is a member of the array already")
            }
            member = try LinkedMember(file, for: .write, mayWait: array.outages != nil, report: array.report)
        } catch { throw error.kind == .unusable ? ArrayStoreError("\(path) \(error)") : error }
        if let absence = member.absence {
            array.keepTrying(member)
            throw ArrayStoreError("\(member.name) is \(absence)")
        }
        let byteCount = array.geometry.dataByteOffset + array.geometry.memberDataByteCount
        guard member.byteCount >= byteCount else {
            throw ArrayStoreError(
                "\(member.name) is too small: it has \(member.byteCount) bytes, and a member of \(array.name) needs "
                    + "\(byteCount); make the export larger, or name another one")
        }
        if let superblock = OpenedArray.superblock(of: member), superblock.setUUID != array.uuid {
            throw ArrayStoreError(
                "\(member.name) is a member of the array \(ArrayStore.name(of: superblock)); name another export")
        }
        return member
    }

    /// An unused name for a file that names a member, in the style of `create`.
    private static func newLinkPath(_ directory: String) -> String {
        var number = 0
        while true {
            let path = "\(directory)/member-\(number)\(LinkedMember.fileExtension)"
            var information = stat()
            if lstat(path, &information) != 0 { return path }
            number += 1
        }
    }
}
