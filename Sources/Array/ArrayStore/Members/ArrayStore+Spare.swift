import CLinux
import Glibc
import MDFormat
import Platform
import RAID

/// Files and exports that become members of an array that is being served.
extension ArrayStore {
    /// Adds a file or an export to an array by `OpenedArray.add`. A file that does not exist is made, sparse. For an
    /// export, a file is made that names it.
    ///
    /// - Parameter name: an NBD URI, or the name of a file in the array's directory. A file elsewhere would not be
    ///   found when the array is opened again.
    /// - Throws: when the member holds something that must not be overwritten, when it is in use, or when the array
    ///   takes no member. No new file is left then.
    package static func add(
        named name: String, to array: OpenedArray
    ) throws(ArrayStoreError) -> OpenedArray.Addition {
        try array.checkTakesMembers()
        let (store, made) = try prepareSpare(named: name, for: array)
        do throws(ArrayStoreError) { return try array.add(store) } catch {
            if let made { unlink(made) }
            throw error
        }
    }

    /// Opens and locks a file that can become a spare, or connects to an export.
    /// - Returns: the member, and the path of the file if it was made.
    private static func prepareSpare(
        named name: String, for array: OpenedArray
    ) throws(ArrayStoreError) -> (store: any PlacedMember, made: String?) {
        if LinkedMember.isURI(name) { return try prepareExport(uri: name, for: array) }
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            throw ArrayStoreError("\"\(name)\" cannot be a member's name; use one like member-7.img")
        }
        let path = "\(array.directory)/\(name)"
        guard !array.memberStates.contains(where: { $0.file == path }) else {
            throw ArrayStoreError("\(path) is a member of the array already")
        }
        if name.hasSuffix(LinkedMember.fileExtension) {
            guard access(path, F_OK) == 0 else {
                throw ArrayStoreError("\(path) does not exist; give the NBD URI of the export instead")
            }
            return (try prepareLink(path, for: array), nil)
        }
        let geometry = array.geometry
        let byteCount = geometry.dataByteOffset + geometry.memberDataByteCount
        var information = stat()
        let isNew = lstat(path, &information) != 0
        let new = isNew ? try make(path, byteCount: byteCount) : nil
        do throws(ArrayStoreError) {
            let file = if let new { new } else { try MemberFile(path: path, readOnly: false) }
            try file.lock()
            if !isNew { try checkMayBecomeSpare(file, of: array, byteCount: byteCount) }
            let code = MemberFile.reserveMetadata(file.descriptor, dataByteOffset: geometry.dataByteOffset)
            guard code == 0 else {
                throw ArrayStoreError("cannot reserve space in \(path): \(String(cString: strerror(code)))")
            }
            MemberDirectory.flush(array.directory)
            return (file, isNew ? path : nil)
        } catch {
            if isNew { unlink(path) }
            throw error.kind == .unusable ? ArrayStoreError("\(path) \(error); name another file") : error
        }
    }

    /// Makes a file that does not exist. Nothing is left of it when its size cannot be set.
    private static func make(_ path: String, byteCount: UInt64) throws(ArrayStoreError) -> MemberFile {
        let (directory, name, descriptor) = try makeFile(path)
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            directory.remove(name)
            throw ArrayStoreError("cannot set the size of \(path): \(reason)")
        }
        return MemberFile(path: path, descriptor: descriptor, readOnly: false)
    }

    /// Makes an empty file where there is none.
    static func makeFile(
        _ path: String
    ) throws(ArrayStoreError) -> (directory: OpenDirectory, name: String, descriptor: Int32) {
        do throws(OSError) {
            let (directory, name) = try OpenDirectory.of(file: path)
            return (directory, name, try directory.make(name))
        } catch { throw ArrayStoreError("\(error)") }
    }

    /// Checks that an existing file may be overwritten: it must be large enough, and empty or a former member of this
    /// array.
    private static func checkMayBecomeSpare(
        _ file: MemberFile, of array: OpenedArray, byteCount: UInt64
    ) throws(ArrayStoreError) {
        guard file.byteCount >= byteCount else {
            throw ArrayStoreError(
                "\(file.path) has \(file.byteCount) bytes, and a member of \(array.name) needs \(byteCount): enlarge "
                    + "it (truncate --size=\(byteCount)), or name a file that is to be made")
        }
        if let bytes = try? file.bytes(at: MDSuperblock.byteOffset, count: MDSuperblock.byteCount),
            let superblock = try? MDSuperblock(parsing: bytes)
        {
            guard superblock.setUUID == array.uuid else {
                throw ArrayStoreError(
                    "\(file.path) is a member of the array \(ArrayStore.name(of: superblock)); name another file")
            }
            return
        }
        guard nbdext_seek_data(file.descriptor, 0) == Int64(-ENXIO) else {
            throw ArrayStoreError(
                "\(file.path) holds data that does not belong to \(array.name); name another file")
        }
    }
}
