import DextBundle
import Diagnostics
import Glibc
import InterfaceGenerator
import Platform

/// The interface files of the kit and of a driver, translated: headers in a directory, and sources to compile.
struct InterfaceTranslation {
    /// A generated source.
    struct Implementation {
        /// The interface file's name, for progress lines.
        let title: String
        let path: String
    }

    private static let controller = "IOUserSCSIParallelInterfaceController"
    private static let userClientFactory = "NewUserClient"

    /// The directory of the headers.
    let directory: String
    /// The generated sources of the driver's files.
    private(set) var implementations: [Implementation] = []
    /// Those of the kit's files, absolute paths.
    private(set) var kitImplementations: [String] = []
    /// Of the kit's headers and sources as they were generated.
    private(set) var kitFingerprint = Fingerprint()
    private let table: ClassTable
    private let driverFiles: [InterfaceFile]

    /// Translates all files, and writes what has changed.
    /// - Parameters:
    ///   - directory: where the headers go; the sources go beside them.
    ///   - names: the bundle's: its identifier and its product's name, which Xcode's template makes the same. Drivers
    ///     may include their headers as `<name/Class.h>`, too.
    ///   - report: gets a message for each mistake in the driver's files.
    /// - Throws: `OperationError` when a file has errors, or cannot be written.
    init(
        project: ProjectFiles, kit: DextKit, into directory: String, names: Set<String>,
        report: (DextBuild.Event) -> Void
    ) throws(OperationError) {
        self.directory = directory
        let kitFiles = try Self.parse(
            kit.interfaces.map { InputFile(path: $0.path, header: Self.header($0.name)) })
        driverFiles = try Self.parse(
            project.interfaces.map { InputFile(path: $0, header: Self.header(String($0.split(separator: "/").last!))) })
        table = ClassTable(kitFiles + driverFiles)
        try Self.check(kitFiles + driverFiles, table, report)
        for file in kitFiles {
            let translation = Translation(of: file, in: table)
            kitFingerprint.add(translation.header)
            kitFingerprint.add(translation.implementation)
            kitImplementations.append(try write(translation, of: file))
        }
        for file in driverFiles {
            let title = String(file.source.name.split(separator: "/").last!)
            let path = try write(Translation(of: file, in: table), of: file)
            implementations.append(Implementation(title: title, path: path))
            for name in names {
                try Self.writeIfChanged(
                    Array("#pragma once\n#include \"../\(file.source.header)\"\n".utf8),
                    to: "\(directory)/\(name)/\(file.source.header)")
            }
        }
    }

    /// The driver's classes, as the check of personalities sees them.
    var classes: [String: PersonalityCheck.DriverClass] {
        let own = driverFiles.flatMap(\.classes).map(\.name)
        let pairs = own.map { name in
            let family = [name] + table.bases(of: name).filter(own.contains)
            let hasFactory = family.contains { name in
                table.type(name)?.methods.contains { $0.name == Self.userClientFactory } == true
            }
            return (
                name,
                PersonalityCheck.DriverClass(
                    isController: table.isClass(name, derivedFrom: Self.controller), hasUserClients: hasFactory)
            )
        }
        return Dictionary(pairs) { first, _ in first }
    }

    /// The methods that the family requires and a personality's controller lacks.
    func missingMethods(of info: InfoPlist) -> [Diagnosis] {
        let controllers = Set(info.personalities.values.compactMap { $0["IOUserClass"]?.stringValue })
            .filter { table.isClass($0, derivedFrom: Self.controller) }
        return controllers.sorted().compactMap { name in
            let missing = table.missingPureVirtuals(of: name).map(\.name)
            return missing.isEmpty
                ? nil : Diagnosis(.methodMissing, "\(name) lacks \(missing.joined(separator: ", "))")
        }
    }

    // MARK: Files

    private struct InputFile {
        let path: String
        let header: String
    }

    private static func header(_ name: String) -> String { "\(name.dropLast(".iig".count)).h" }

    /// Parses files in their order. A file sees the macros of those before it.
    private static func parse(_ inputs: [InputFile]) throws(OperationError) -> [InterfaceFile] {
        var macros = AttributeMacros()
        var files: [InterfaceFile] = []
        for input in inputs {
            let bytes = try InfoPlist.bytes(of: input.path)
            let file = InterfaceFile(
                parsing: InterfaceSource(name: input.path, header: input.header, bytes: bytes), macros: macros)
            macros.merge(file.macros)
            files.append(file)
        }
        return files
    }

    private static func check(
        _ files: [InterfaceFile], _ table: ClassTable, _ report: (DextBuild.Event) -> Void
    ) throws(OperationError) {
        let found = files.flatMap { $0.diagnostics + table.check($0) }
        for diagnostic in found { report(.message(diagnostic.description)) }
        let broken = Set(found.filter { $0.severity == .error }.map(\.file))
        guard broken.isEmpty else {
            let names = broken.map { String($0.split(separator: "/").last ?? "") }.sorted()
            throw OperationError("\(names.joined(separator: ", ")): mend the errors above; nothing was compiled")
        }
    }

    /// - Returns: the path of the source.
    private func write(_ translation: Translation, of file: InterfaceFile) throws(OperationError) -> String {
        let implementation = "\(directory)/\(file.source.header.dropLast(2)).iig.cpp"
        try Self.writeIfChanged(translation.header, to: "\(directory)/\(file.source.header)")
        try Self.writeIfChanged(translation.implementation, to: implementation)
        return implementation
    }

    /// A file that is as it should be keeps its time, so that nothing is compiled because of it.
    static func writeIfChanged(_ bytes: [UInt8], to path: String) throws(OperationError) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard TextFile.read(path) != text else { return }
        _ = try DextBuild.makeDirectory(Directory.parent(of: path))
        do { try TextFile.write(text, to: path) } catch { throw OperationError("\(error)", cause: error) }
    }
}
