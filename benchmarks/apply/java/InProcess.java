import ca.uhn.fhir.context.FhirContext;
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.instance.model.api.IIdType;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CanonicalType;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.PlanDefinition;
import org.opencds.cqf.fhir.cql.EvaluationSettings;
import org.opencds.cqf.fhir.cr.CrSettings;
import org.opencds.cqf.fhir.cr.plandefinition.PlanDefinitionProcessor;
import org.opencds.cqf.fhir.utility.monad.Either3;
import org.opencds.cqf.fhir.utility.monad.Eithers;
import org.opencds.cqf.fhir.utility.repository.InMemoryFhirRepository;
import org.slf4j.LoggerFactory;

/**
 * $apply by HAPI's clinical reasoning library itself: no server, no database, content and patient in memory.
 *
 * <p>Arguments: content Bundle, patient's Bundle, id of a plan, subject, calls before measuring, calls measured, file for
 * the answer. Prints: milliseconds of the first call (from here on all libraries are compiled), p50, p95, and CPU
 * milliseconds per call.
 */
public class InProcess {

  private final InMemoryFhirRepository repository;
  private final CrSettings settings = CrSettings.getDefault().withEvaluationSettings(EvaluationSettings.getDefault());
  private final Either3<CanonicalType, IIdType, PlanDefinition> plan;
  private final String subject;

  InProcess(InMemoryFhirRepository repository, String plan, String subject) {
    this.repository = repository;
    this.plan = Eithers.forMiddle3(new IdType("PlanDefinition", plan));
    this.subject = subject;
  }

  private IBaseResource apply() {
    // One processor per call, as the server does; the compiled libraries are in the settings.
    return new PlanDefinitionProcessor(repository, settings)
        .apply(
            plan, subject, null, null, null, null, null, null, null, null, null, true, null, null,
            (IBaseResource) null, (IBaseResource) null, (IBaseResource) null);
  }

  private double timed() {
    long started = System.nanoTime();
    apply();
    return (System.nanoTime() - started) / 1e6;
  }

  public static void main(String[] arguments) throws Exception {
    ((Logger) LoggerFactory.getLogger("ROOT")).setLevel(Level.WARN);
    var context = FhirContext.forR4Cached();
    var parser = context.newJsonParser();
    var all = parser.parseResource(Bundle.class, Files.readString(Path.of(arguments[0])));
    var patient = parser.parseResource(Bundle.class, Files.readString(Path.of(arguments[1])));
    patient.getEntry().forEach(all::addEntry);
    var harness = new InProcess(new InMemoryFhirRepository(context, all), arguments[2], arguments[3]);

    double first = harness.timed();
    Files.writeString(Path.of(arguments[6]), parser.encodeResourceToString(harness.apply()));
    for (int call = 0; call < Integer.parseInt(arguments[4]); call++) {
      harness.apply();
    }
    var times = new double[Integer.parseInt(arguments[5])];
    var threads = ManagementFactory.getThreadMXBean();
    long used = threads.getCurrentThreadCpuTime();
    for (int call = 0; call < times.length; call++) {
      times[call] = harness.timed();
    }
    double cpu = (threads.getCurrentThreadCpuTime() - used) / 1e6 / times.length;
    Arrays.sort(times);
    System.out.printf(
        "%.3f %.3f %.3f %.3f%n", first, times[times.length / 2], times[(int) (0.95 * times.length)], cpu);
  }
}
