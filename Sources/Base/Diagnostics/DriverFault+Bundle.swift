extension DriverFault {
    /// B53 to B55: a DEXT's property list and its classes.
    static let bundleEntries: [DriverFault: FaultEntry] = [
        .personalityDropped: FaultEntry(
            "a personality can never match",
            rule: "IOClass is the family's class in the kernel, CFBundleIdentifierKernel is the bundle that has it, "
                + "IOUserClass is a class of the driver, and IOProviderClass and IOUserServerName are there",
            symptom: "the extension is active, but the driver never starts; the system says nothing",
            fix: "for a controller: IOClass IOUserSCSIParallelInterfaceController, CFBundleIdentifierKernel "
                + "com.apple.iokit.IOSCSIParallelFamily, IOUserServerName $(PRODUCT_BUNDLE_IDENTIFIER)",
            reference: Reference.field),
        .methodMissing: FaultEntry(
            "a method that the family requires is not overridden",
            rule: "each pure virtual method of IOUserSCSIParallelInterfaceController needs an implementation",
            symptom: "the class compiles, and Start fails after UserInitializeController without a reason",
            fix: "declare the method in the interface file, and implement it with IMPL",
            reference: Reference.header + "; " + Reference.field),
        .userClientWithoutFactory: FaultEntry(
            "UserClientProperties is there, but no NewUserClient",
            rule: "the system asks the driver's NewUserClient for each client that opens the service",
            symptom: "IOServiceOpen fails with 0xe00002bc, kIOReturnError",
            fix: "override NewUserClient, and create the client there: Create(this, \"UserClientProperties\", &client)",
            reference: Reference.field),
    ]
}
