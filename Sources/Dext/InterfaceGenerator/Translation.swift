/// What is made of an interface file: the header that drivers include, and the source that is compiled with them.
package struct Translation: Sendable {
    /// The bytes of the header.
    package let header: [UInt8]
    /// The bytes of the C++ source.
    package let implementation: [UInt8]

    /// Translates a file. It and the files of its base classes have to be in the table. If the parser or the checker
    /// has found errors, the result is of no use.
    package init(of file: InterfaceFile, in table: ClassTable) {
        let classes = file.classes.filter { $0.base != nil }.map { GeneratedClass(type: $0, table: table) }
        var header = HeaderGenerator(file: file)
        header.generate(classes)
        self.header = header.text.bytes
        var implementation = ImplementationGenerator(file: file, table: table)
        implementation.generate(classes)
        self.implementation = implementation.text.bytes
    }
}
